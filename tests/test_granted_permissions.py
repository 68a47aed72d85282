"""Named permissions over HTTP, which modules declare and settings grant."""

from typing import Annotated, Any

import pytest
from httpx import AsyncClient

from bedplate.api.dependencies import CurrentUser, require_permission, require_role
from bedplate.api.routing import Router
from bedplate.caller import Caller
from bedplate.config import Settings, SettingsError
from bedplate.core.permissions import Permission
from bedplate.example import BUILT_IN
from bedplate.main import create_app
from bedplate.module import Module
from bedplate.testing.application import make_application
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import MakeUser, SignIn

BAKE = Permission("cakes:bake", "Bake cakes.", frozenset({"baker"}))
EAT = Permission("cakes:eat", "Eat cakes.")
planted = Router(prefix="/cakes")


@planted.post("/bake")
async def bake(who: Annotated[Caller, require_permission(BAKE)]) -> dict[str, str]:
    return {"by": who.role}


@planted.post("/eat")
async def eat(who: Annotated[Caller, require_permission(EAT)]) -> dict[str, str]:
    return {"by": who.role}


@planted.post("/judge")
async def judge(who: Annotated[Caller, require_role("guest")]) -> dict[str, str]:
    return {"by": who.role}


@planted.get("/mine")
async def mine(who: CurrentUser) -> dict[str, bool]:
    return {"bake": who.may(BAKE), "eat": who.may(EAT), "admin": who.is_admin}


cakes = Module(name="cakes", router=planted, permissions=[BAKE, EAT])


@pytest.fixture(scope="session")
def application() -> Any:
    return make_application((*BUILT_IN, cakes))


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {
        "roles": "user,admin,baker,guest",
        "role_permissions": {"guest": ["cakes:eat"], "user": ["posts:read_any"]},
    }


async def test_a_role_has_its_permissions_and_admin_has_all(
    client: AsyncClient, make_user: MakeUser, sign_in: SignIn
) -> None:
    allowed = {
        "user": set[str](),
        "baker": {"bake"},
        "guest": {"eat", "judge"},
        "admin": {"bake", "eat"},  # a role is not a permission
    }
    for role, actions in allowed.items():
        caller = await sign_in((await make_user(role=role)).id)
        for action in ("bake", "eat", "judge"):
            response = await caller.post(f"/cakes/{action}")
            if action in actions:
                assert (response.status_code, response.json()) == (200, {"by": role})
            else:
                assert_refused(response, 403, "FORBIDDEN")
        shown_permissions = (await caller.get("/cakes/mine")).json()
        may = {action: action in actions for action in ("bake", "eat")}
        assert shown_permissions == {**may, "admin": role == "admin"}
    for action in ("bake", "eat", "judge"):
        stranger = await client.post(f"/cakes/{action}")
        assert_refused(stranger, 401, "UNAUTHENTICATED")


async def test_a_changed_role_applies_to_the_next_request(
    as_admin: AsyncClient, make_user: MakeUser, sign_in: SignIn
) -> None:
    user = await make_user()
    caller = await sign_in(user.id)
    for role, status in [("baker", 200), ("guest", 403), ("admin", 200), ("user", 403)]:
        changed = await as_admin.patch(f"/users/{user.id}", json={"role": role})
        assert changed.status_code == 200
        assert (await caller.post("/cakes/bake")).status_code == status, role


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        (
            {"guest": ["cakes:fly"]},
            r"ROLE_PERMISSIONS: .*'cakes:fly' of the role 'guest'",
        ),
        ({"chef": ["cakes:eat"]}, "BEDPLATE_ROLE_PERMISSIONS: 'chef' is not a role"),
    ],
)
def test_an_unknown_permission_or_role_stops_the_start_with_one_line(
    grants: dict[str, list[str]], message: str
) -> None:
    def start() -> None:
        key = "a key for tests, at least 32 bytes long"
        roles = {"roles": "user,admin,guest", "role_permissions": grants}
        settings = Settings.load(_env_file=None, secret_key=key, **roles)
        create_app(settings, (*BUILT_IN, cakes))

    with pytest.raises(SettingsError, match=message) as error:
        start()
    assert "\n" not in str(error.value)

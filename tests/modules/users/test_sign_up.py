import re
from uuid import UUID

import pytest
from httpx import AsyncClient
from support import Clients, Snapshot, read_table

from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import MakeUser

NEW = {"email": "new@example.com", "name": "New One", "password": "Correct-h0rse"}
FIELDS = [
    "id",
    "email",
    "name",
    "role",
    "is_active",
    "email_verified",
    "created_at",
    "updated_at",
]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

closed = pytest.mark.parametrize("setting_overrides", [{"signup": "closed"}])
more_roles = pytest.mark.parametrize(
    "setting_overrides", [{"roles": ("user", "editor", "admin")}]
)


async def test_a_stranger_signs_up(client: AsyncClient) -> None:
    answer = await client.post("/users", json=NEW)

    assert answer.status_code == 201
    account = answer.json()
    assert list(account) == FIELDS
    assert account["email"] == NEW["email"]
    assert account["name"] == NEW["name"]
    assert account["role"] == "user"
    assert account["is_active"] is True
    assert account["email_verified"] is False


async def test_ids_are_uuid7_and_instants_end_in_z(client: AsyncClient) -> None:
    account = (await client.post("/users", json=NEW)).json()

    assert UUID(account["id"]).version == 7
    assert account["id"] == str(UUID(account["id"]))
    assert INSTANT.fullmatch(account["created_at"])
    assert INSTANT.fullmatch(account["updated_at"])


async def test_location_leads_to_the_new_account(
    client: AsyncClient, as_admin: AsyncClient
) -> None:
    created = await client.post("/users", json=NEW)
    stored = await as_admin.get(f"http://test{created.headers['location']}")

    assert created.headers["location"] == f"/api/v1/users/{created.json()['id']}"
    assert stored.json() == created.json()


async def test_whoever_signed_up_can_sign_in(client: AsyncClient) -> None:
    await client.post("/users", json=NEW)
    form = {"username": NEW["email"], "password": NEW["password"]}
    token = (await client.post("/auth/token", data=form)).json()["access_token"]
    me = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})

    assert me.json()["email"] == NEW["email"]


async def test_the_password_is_stored_as_argon2id_alone(
    client: AsyncClient, app: Application
) -> None:
    answer = await client.post("/users", json=NEW)
    (stored,) = await read_table(app, User)

    assert stored.hashed_password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert NEW["password"] not in str(stored)
    assert "argon2" not in answer.text
    assert NEW["password"] not in answer.text


async def test_email_and_name_are_trimmed_and_the_email_lower_cased(
    client: AsyncClient,
) -> None:
    answer = await client.post(
        "/users", json={**NEW, "email": "  MiXed@Example.COM ", "name": "  Ann B \t"}
    )

    assert answer.json()["email"] == "mixed@example.com"
    assert answer.json()["name"] == "Ann B"


@pytest.mark.parametrize(
    "email", ["ann@example.test", "a+b@example.com", "ÄNNE@bücher.example"]
)
async def test_an_unusual_address_is_answered_as_it_is_stored(
    client: AsyncClient, email: str
) -> None:
    answer = await client.post("/users", json={**NEW, "email": email})

    assert answer.status_code == 201
    assert answer.json()["email"] == email.lower()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("new@example.com", "new@example.com"),
        ("new@example.com", " NEW@Example.Com "),
        ("ännë@example.com", "ÄNNË@example.com"),
        ("new@bücher.example", "new@xn--bcher-kva.example"),
    ],
)
async def test_an_email_is_taken_whatever_its_case(
    client: AsyncClient, snapshot: Snapshot, first: str, second: str
) -> None:
    await client.post("/users", json={**NEW, "email": first})
    before = await snapshot()
    answer = await client.post("/users", json={**NEW, "email": second})

    assert_refused(answer, 409, "EMAIL_TAKEN")
    assert await snapshot() == before


async def test_the_email_of_a_deleted_account_is_free_again(
    client: AsyncClient, as_admin: AsyncClient
) -> None:
    first = await client.post("/users", json=NEW)
    await as_admin.delete(f"/users/{first.json()['id']}")

    assert (await client.post("/users", json=NEW)).status_code == 201


@pytest.mark.parametrize("role", ["admin", "editor"])
@more_roles
async def test_a_stranger_gives_itself_no_role(
    client: AsyncClient, snapshot: Snapshot, role: str
) -> None:
    before = await snapshot()
    answer = await client.post("/users", json={**NEW, "role": role})

    assert_refused(answer, 403, "FORBIDDEN")
    assert await snapshot() == before


async def test_a_user_gives_out_no_role(
    as_user: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    answer = await as_user.post("/users", json={**NEW, "role": "admin"})

    assert_refused(answer, 403, "FORBIDDEN")
    assert await snapshot() == before


async def test_anyone_may_send_the_default_role(client: AsyncClient) -> None:
    answer = await client.post("/users", json={**NEW, "role": "user"})

    assert answer.json()["role"] == "user"


async def test_an_admin_makes_an_admin(as_admin: AsyncClient) -> None:
    answer = await as_admin.post("/users", json={**NEW, "role": "admin"})

    assert (answer.status_code, answer.json()["role"]) == (201, "admin")


@more_roles
async def test_a_deployment_adds_roles(as_admin: AsyncClient) -> None:
    answer = await as_admin.post("/users", json={**NEW, "role": "editor"})

    assert (answer.status_code, answer.json()["role"]) == (201, "editor")


@pytest.mark.parametrize("who", ["stranger", "user", "admin"])
async def test_a_role_that_is_not_configured_is_refused(
    who: str, clients: Clients
) -> None:
    answer = await clients[who].post("/users", json={**NEW, "role": "editor"})

    assert_refused(answer, 422, "VALIDATION_ERROR", "body.role")


@closed
async def test_closed_sign_up_refuses_strangers_and_users(
    client: AsyncClient, as_user: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()

    assert_refused(await client.post("/users", json=NEW), 403, "SIGNUP_CLOSED")
    assert_refused(await as_user.post("/users", json=NEW), 403, "SIGNUP_CLOSED")
    assert await snapshot() == before


@closed
async def test_closed_sign_up_lets_an_admin_make_accounts(
    as_admin: AsyncClient,
) -> None:
    assert (await as_admin.post("/users", json=NEW)).status_code == 201


async def test_bad_credentials_are_refused_where_none_are_needed(
    client: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    answer = await client.post(
        "/users", json=NEW, headers={"Authorization": "Bearer of.bad.news"}
    )

    assert_refused(answer, 401, "UNAUTHENTICATED")
    assert await snapshot() == before


async def test_a_taken_email_does_not_reveal_whose_it_is(
    client: AsyncClient, make_user: MakeUser
) -> None:
    owner = await make_user(email=NEW["email"], name="Very Private")
    answer = await client.post("/users", json=NEW)

    assert str(owner.id) not in answer.text
    assert owner.name not in answer.text
    assert owner.email not in answer.text

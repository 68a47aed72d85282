from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from support import Clients, Snapshot, read_table
from uuid_utils.compat import uuid7

from bedplate.main import Application
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import SignIn

UNAUTHENTICATED = (401, "UNAUTHENTICATED")
FORBIDDEN = (403, "FORBIDDEN")
UNKNOWN = (404, "NOT_FOUND")

NAME = {"name": "Renamed"}
EMAIL = {"email": "changed@example.com"}
ROLE = {"role": "user"}

# Refused requests, with the response for each caller. `{user}` is the user's account.
REFUSALS = [
    ("GET", "/users", None, {"stranger": UNAUTHENTICATED, "user": FORBIDDEN}),
    ("GET", "/users/me", None, {"stranger": UNAUTHENTICATED}),
    ("PATCH", "/users/me", NAME, {"stranger": UNAUTHENTICATED}),
    ("DELETE", "/users/me", None, {"stranger": UNAUTHENTICATED}),
    ("GET", "/users/{user}", None, {"stranger": UNAUTHENTICATED, "other": UNKNOWN}),
    ("PATCH", "/users/{user}", NAME, {"stranger": UNAUTHENTICATED, "other": UNKNOWN}),
    ("PATCH", "/users/{user}", EMAIL, {"user": FORBIDDEN, "other": UNKNOWN}),
    ("PATCH", "/users/{user}", ROLE, {"user": FORBIDDEN, "other": UNKNOWN}),
    ("PATCH", "/users/{user}", NAME | ROLE, {"user": FORBIDDEN, "other": UNKNOWN}),
    ("DELETE", "/users/{user}", None, {"stranger": UNAUTHENTICATED, "other": UNKNOWN}),
    (
        "POST",
        "/users/{user}/activate",
        None,
        {"stranger": UNAUTHENTICATED, "user": FORBIDDEN, "other": FORBIDDEN},
    ),
    (
        "POST",
        "/users/{user}/deactivate",
        None,
        {"stranger": UNAUTHENTICATED, "user": FORBIDDEN, "other": FORBIDDEN},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "refusals"), REFUSALS)
async def test_who_may_not_is_told_so_and_changes_nothing(
    method: str,
    path: str,
    body: Any,
    refusals: dict[str, tuple[int, str]],
    clients: Clients,
    user: User,
    snapshot: Snapshot,
) -> None:
    before = await snapshot()
    for who, (status, code) in refusals.items():
        answer = await clients[who].request(
            method, path.format(user=user.id), json=body
        )
        assert_refused(answer, status, code)
    assert await snapshot() == before


async def test_one_sees_ones_own_account(
    as_user: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    me = await as_user.get("/users/me")

    assert me.status_code == 200
    assert me.json()["id"] == str(user.id)
    assert me.json() == (await as_user.get(f"/users/{user.id}")).json()
    assert me.json() == (await as_admin.get(f"/users/{user.id}")).json()


async def test_one_changes_ones_own_name(as_user: AsyncClient, user: User) -> None:
    before = (await as_user.get("/users/me")).json()
    by_me = await as_user.patch("/users/me", json={"name": " First "})
    by_id = await as_user.patch(f"/users/{user.id}", json={"name": "Second"})

    assert (by_me.status_code, by_me.json()["name"]) == (200, "First")
    assert (by_id.status_code, by_id.json()["name"]) == (200, "Second")
    assert (await as_user.get("/users/me")).json() == by_id.json()
    assert before["updated_at"] < by_me.json()["updated_at"]
    assert by_me.json()["updated_at"] < by_id.json()["updated_at"]
    assert before["created_at"] == by_id.json()["created_at"]


@pytest.mark.parametrize("path", ["/users/me", "/users/{user}"])
async def test_a_patch_of_nothing_changes_nothing(
    as_user: AsyncClient, user: User, snapshot: Snapshot, path: str
) -> None:
    before = await snapshot()
    answer = await as_user.patch(path.format(user=user.id), json={})

    assert answer.status_code == 200
    assert answer.json() == (await as_user.get("/users/me")).json()
    assert await snapshot() == before


async def test_an_admin_changes_all_of_an_account(
    as_admin: AsyncClient, user: User
) -> None:
    changes = {"email": "  New@Example.com ", "name": "New Name", "role": "admin"}
    answer = await as_admin.patch(f"/users/{user.id}", json=changes)

    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["email"], changed["name"]) == ("new@example.com", "New Name")
    assert changed["role"] == "admin"
    assert (await as_admin.get(f"/users/{user.id}")).json() == changed


async def test_a_new_address_is_not_verified_yet(
    as_admin: AsyncClient, app: Application, user: User
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        stored = await session.get(User, user.id)
        stored.email_verified_at = stored.created_at
    unchanged = await as_admin.patch(f"/users/{user.id}", json={"email": user.email})
    changed = await as_admin.patch(f"/users/{user.id}", json=EMAIL)

    assert unchanged.json()["email_verified"] is True
    assert changed.json()["email_verified"] is False


async def test_another_users_email_is_taken(
    as_admin: AsyncClient, user: User, other: User, snapshot: Snapshot
) -> None:
    before = await snapshot()
    changes = {"name": "Renamed", "email": other.email.upper()}
    answer = await as_admin.patch(f"/users/{user.id}", json=changes)

    assert_refused(answer, 409, "EMAIL_TAKEN")
    assert await snapshot() == before


async def test_ones_own_email_is_not_taken(as_admin: AsyncClient, user: User) -> None:
    answer = await as_admin.patch(f"/users/{user.id}", json={"email": user.email})

    assert (answer.status_code, answer.json()["email"]) == (200, user.email)


async def test_a_role_that_is_not_configured_is_not_given(
    as_admin: AsyncClient, user: User, snapshot: Snapshot
) -> None:
    before = await snapshot()
    answer = await as_admin.patch(f"/users/{user.id}", json={"role": "emperor"})

    assert_refused(answer, 422, "VALIDATION_ERROR", "body.role")
    assert await snapshot() == before


@pytest.mark.parametrize("field", ["email", "role"])
async def test_one_patches_only_ones_name_by_me(
    as_admin: AsyncClient, snapshot: Snapshot, field: str
) -> None:
    before = await snapshot()
    answer = await as_admin.patch("/users/me", json={field: "admin"})

    assert_refused(answer, 422, "VALIDATION_ERROR", f"body.{field}")
    assert await snapshot() == before


@pytest.mark.parametrize("field", ["id", "is_active", "password", "hashed_password"])
async def test_what_a_patch_does_not_offer_is_refused(
    as_admin: AsyncClient, user: User, snapshot: Snapshot, field: str
) -> None:
    before = await snapshot()
    answer = await as_admin.patch(f"/users/{user.id}", json={"name": "X", field: True})

    assert_refused(answer, 422, "VALIDATION_ERROR", f"body.{field}")
    assert await snapshot() == before


@pytest.mark.parametrize(
    ("method", "suffix"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/activate"),
        ("POST", "/deactivate"),
    ],
)
async def test_an_unknown_account_is_as_one_that_may_not_be_seen(
    clients: Clients, other: User, method: str, suffix: str
) -> None:
    body = NAME if method == "PATCH" else None
    unknown, unseen = f"/users/{uuid7()}{suffix}", f"/users/{other.id}{suffix}"
    to_admin = await clients["admin"].request(method, unknown, json=body)
    to_user = await clients["user"].request(method, unknown, json=body)
    hidden = await clients["user"].request(method, unseen, json=body)

    assert_refused(to_admin, 404, "NOT_FOUND")
    assert to_user.status_code == hidden.status_code
    assert _but_its_id(to_user.json()) == _but_its_id(hidden.json())


def _but_its_id(envelope: Any) -> Any:
    return {**envelope["error"], "request_id": None}


@pytest.mark.parametrize("id_", ["x", "0", "me2", "%00", "1e3", "a" * 5000])
async def test_an_id_that_is_no_uuid_is_refused(
    as_admin: AsyncClient, id_: str
) -> None:
    answer = await as_admin.post(f"/users/{id_}/activate")

    assert_refused(answer, 422, "VALIDATION_ERROR", "path.user_id")
    assert "a" * 200 not in answer.text


@pytest.mark.parametrize(("who", "path"), [("user", "/users/me"), ("admin", "")])
async def test_a_deleted_account_is_gone_with_its_sessions(
    clients: Clients, app: Application, user: User, sign_in: SignIn, who: str, path: str
) -> None:
    second_device = await sign_in(user.id)
    answer = await clients[who].delete(path or f"/users/{user.id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert_refused(await second_device.get("/users/me"), 401, "UNAUTHENTICATED")
    assert_refused(await clients["admin"].get(f"/users/{user.id}"), 404, "NOT_FOUND")
    owners: list[UUID] = [s.user_id for s in await read_table(app, UserSession)]
    assert user.id not in owners


async def test_one_deletes_oneself_by_id(as_user: AsyncClient, user: User) -> None:
    assert (await as_user.delete(f"/users/{user.id}")).status_code == 204
    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")


async def test_deactivating_and_activating_are_idempotent(
    as_admin: AsyncClient, user: User, snapshot: Snapshot
) -> None:
    states = {"deactivate": "deactivated", "activate": "activated"}
    for action, status in states.items():
        first = await as_admin.post(f"/users/{user.id}/{action}")
        once = await snapshot()
        second = await as_admin.post(f"/users/{user.id}/{action}")

        assert (first.status_code, first.json()) == (200, {"status": status})
        assert (second.status_code, second.json()) == (200, {"status": status})
        assert await snapshot() == once
        is_active = (await as_admin.get(f"/users/{user.id}")).json()["is_active"]
        assert is_active is (action == "activate")

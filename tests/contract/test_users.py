"""The contract's rows about users, on both stacks."""

import pytest
from httpx import AsyncClient
from support_stacks import Stack
from uuid_utils.compat import uuid7

from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import RunJobs

NEW = {"email": " New@Example.com ", "name": " New ", "password": "Correct-h0rse"}


async def test_a_stranger_signs_up_and_is_welcomed(
    client: AsyncClient, stack: Stack, run_jobs: RunJobs, mailbox: Mailbox
) -> None:
    response = await client.post("/users", json=NEW)

    assert response.status_code == 201
    created = response.json()
    assert (created["email"], created["name"]) == ("new@example.com", "New")
    assert (created["role"], created["is_active"]) == ("user", True)
    assert "password" not in response.text
    assert response.headers["location"] == f"{stack.prefix}/users/{created['id']}"
    await run_jobs()
    assert "new@example.com" in {mail["To"] for mail in mailbox}


async def test_a_sign_up_is_refused_for_its_reason(
    client: AsyncClient, as_user: AsyncClient, user: User
) -> None:
    taken = await client.post("/users", json={**NEW, "email": "USER@example.com"})
    assert_refused(taken, 409, "EMAIL_TAKEN")
    for asking in (client, as_user):
        admin = await asking.post("/users", json={**NEW, "role": "admin"})
        assert_refused(admin, 403, "FORBIDDEN")
    unknown = await client.post("/users", json={**NEW, "role": "emperor"})
    assert_refused(unknown, 422, "VALIDATION_ERROR", "body.role")
    weak = await client.post("/users", json={**NEW, "password": "password"})
    fields = [d["field"] for d in weak.json()["error"]["details"]]
    assert (weak.status_code, {*fields}) == (422, {"body.password"})


@pytest.mark.parametrize("setting_overrides", [{"signup": "closed"}])
async def test_a_closed_sign_up_is_open_to_admins(
    client: AsyncClient, as_admin: AsyncClient
) -> None:
    assert_refused(await client.post("/users", json=NEW), 403, "SIGNUP_CLOSED")
    created = await as_admin.post("/users", json={**NEW, "role": "admin"})
    assert (created.status_code, created.json()["role"]) == (201, "admin")


async def test_an_account_is_seen_by_itself_and_by_admins(
    as_user: AsyncClient, as_admin: AsyncClient, user: User, other: User
) -> None:
    me = await as_user.get("/users/me")
    assert me.json()["email"] == user.email
    for asking in (as_user, as_admin):
        assert (await asking.get(f"/users/{user.id}")).json() == me.json()
    assert (await as_admin.get(f"/users/{other.id}")).status_code == 200
    for id_ in (other.id, uuid7()):
        assert_refused(await as_user.get(f"/users/{id_}"), 404, "NOT_FOUND")
    assert_refused(await as_user.get("/users"), 403, "FORBIDDEN")


async def test_one_changes_ones_own_name_and_no_more(
    as_user: AsyncClient, user: User, other: User
) -> None:
    changed = await as_user.patch("/users/me", json={"name": " Ann "})
    assert (changed.status_code, changed.json()["name"]) == (200, "Ann")
    again = await as_user.patch(f"/users/{user.id}", json={"name": "Bea"})
    assert again.json()["name"] == "Bea"
    for body in ({"role": "admin"}, {"email": "x@example.com"}):
        assert_refused(
            await as_user.patch(f"/users/{user.id}", json=body), 403, "FORBIDDEN"
        )
        refused = await as_user.patch("/users/me", json=body)
        assert_refused(refused, 422, "VALIDATION_ERROR", f"body.{next(iter(body))}")
    not_mine = await as_user.patch(f"/users/{other.id}", json={"name": "X"})
    assert_refused(not_mine, 404, "NOT_FOUND")


async def test_an_admin_changes_all_of_it(
    as_admin: AsyncClient, user: User, other: User
) -> None:
    body = {"email": "new@example.com", "name": "N", "role": "admin"}
    changed = await as_admin.patch(f"/users/{user.id}", json=body)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in body} == body
    taken = await as_admin.patch(f"/users/{user.id}", json={"email": other.email})
    assert_refused(taken, 409, "EMAIL_TAKEN")


async def test_a_deactivation_acts_at_once_and_can_be_undone(
    as_admin: AsyncClient, as_user: AsyncClient, user: User
) -> None:
    for _ in range(2):
        done = await as_admin.post(f"/users/{user.id}/deactivate")
        assert (done.status_code, done.json()) == (200, {"status": "deactivated"})
    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")
    undone = await as_admin.post(f"/users/{user.id}/activate")
    assert (undone.status_code, undone.json()) == (200, {"status": "activated"})
    assert (await as_admin.get(f"/users/{user.id}")).json()["is_active"]
    refused = await as_admin.post(f"/users/{uuid7()}/activate")
    assert_refused(refused, 404, "NOT_FOUND")


async def test_activating_is_for_admins(as_user: AsyncClient, other: User) -> None:
    for deed in ("activate", "deactivate"):
        refused = await as_user.post(f"/users/{other.id}/{deed}")
        assert_refused(refused, 403, "FORBIDDEN")


async def test_the_last_admin_stays_one(as_admin: AsyncClient, admin: User) -> None:
    path = f"/users/{admin.id}"
    for response in (
        await as_admin.post(f"{path}/deactivate"),
        await as_admin.patch(path, json={"role": "user"}),
        await as_admin.delete(path),
    ):
        assert_refused(response, 409, "LAST_ADMIN")
    assert (await as_admin.get("/users/me")).json()["role"] == "admin"


async def test_an_account_goes_and_its_token_with_it(
    as_user: AsyncClient, as_other: AsyncClient, user: User
) -> None:
    assert_refused(await as_other.delete(f"/users/{user.id}"), 404, "NOT_FOUND")
    gone = await as_user.delete(f"/users/{user.id}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")


async def test_the_list_is_filtered_searched_and_sorted(
    as_admin: AsyncClient, user: User, other: User
) -> None:
    async def emails(**query: str) -> list[str]:
        response = await as_admin.get("/users", params=query)
        assert response.status_code == 200, response.text
        return [item["email"] for item in response.json()["items"]]

    assert await emails(sort="email") == [
        "admin@example.com",
        "other@example.com",
        "user@example.com",
    ]
    assert await emails(role="admin") == ["admin@example.com"]
    assert await emails(is_active="false") == []
    assert await emails(q="OTHER") == ["other@example.com"]
    assert await emails(q="o_her") == []
    unknown = await as_admin.get("/users", params={"role": "emperor"})
    assert_refused(unknown, 422, "VALIDATION_ERROR", "query.role")

"""The audit trail: events are written with the action, and are never changed."""

from typing import Any

import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from sqlalchemy.exc import DBAPIError
from support import execute, read_table
from support_auth import try_sign_in

from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import client_for


async def events(app: Application) -> list[Any]:
    return list(await read_table(app, AuditEvent))


async def test_an_action_is_recorded_with_actor_subject_and_client(
    app: Application, as_admin: AsyncClient, admin: User, user: User
) -> None:
    headers = {"X-Request-ID": "req-1", "User-Agent": "a client"}
    headers["Authorization"] = as_admin.headers["Authorization"]

    async with client_for(app, address="203.0.113.9") as client:
        await client.post(f"/users/{user.id}/deactivate", headers=headers)

    (event,) = await events(app)
    assert event.action == "user.deactivated"
    assert (event.actor_id, event.subject_id) == (admin.id, user.id)
    assert (event.request_id, event.user_agent) == ("req-1", "a client")
    assert event.ip == "203.0.113.9"


async def test_each_change_of_an_account_is_recorded_once(
    app: Application, as_admin: AsyncClient, user: User
) -> None:
    path = f"/users/{user.id}"
    await as_admin.patch(path, json={"role": "admin", "name": "New"})
    await as_admin.patch(path, json={"role": "admin"})  # changes nothing
    await as_admin.post(f"{path}/activate")  # changes nothing
    await as_admin.delete(f"{path}/sessions")
    await as_admin.delete(path)

    assert [(event.action, event.details) for event in await events(app)] == [
        ("user.role_changed", {"role": "admin"}),
        ("user.updated", {"fields": ["name"]}),
        ("auth.sessions_revoked", {}),
        ("user.deleted", {}),
    ]


async def test_a_rejected_action_leaves_no_event(
    app: Application, as_admin: AsyncClient, admin: User
) -> None:
    refused = await as_admin.post(f"/users/{admin.id}/deactivate")

    assert_refused(refused, 409, "LAST_ADMIN")
    assert await events(app) == []


async def test_a_failed_sign_in_is_recorded_although_it_is_rejected(
    app: Application, client: AsyncClient, user: User
) -> None:
    await try_sign_in(client, user.email, "Wr0ng-password")
    await try_sign_in(client, "nobody@example.com", "Wr0ng-password")

    event, other = await events(app)
    assert event.action == other.action == "auth.sign_in_failed"
    assert (event.subject_id, other.subject_id) == (user.id, None)
    assert "Wr0ng-password" not in str([event, other])


async def test_events_can_not_be_changed(app: Application, user: User) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        await AuditService(session).record(
            Action.SIGNED_IN, actor_id=user.id, subject_id=user.id
        )

    with pytest.raises(DBAPIError, match="append-only"):
        await execute(app, sa.update(AuditEvent).values(action="nothing happened"))

    assert [event.action for event in await events(app)] == ["auth.signed_in"]


async def test_admins_filter_events_and_read_them_by_page(
    as_admin: AsyncClient, as_user: AsyncClient, user: User, client: AsyncClient
) -> None:
    for _ in range(3):
        await try_sign_in(client, user.email, "Wr0ng-password")
    await as_admin.patch(f"/users/{user.id}", json={"name": "New"})

    whole = (await as_admin.get("/audit")).json()
    assert whole["total"] == 4
    assert whole["items"][0]["action"] == "user.updated"  # newest first
    filtered = await as_admin.get(
        f"/audit?action=auth.sign_in_failed&subject_id={user.id}"
    )
    assert filtered.json()["total"] == 3
    first = (await as_admin.get("/audit?cursor=&limit=3")).json()
    rest = (await as_admin.get(f"/audit?cursor={first['next_cursor']}")).json()
    assert first["items"] + rest["items"] == whole["items"]
    assert_refused(await as_user.get("/audit"), 403, "FORBIDDEN")

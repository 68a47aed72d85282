"""The database protects audit events from changes and from early deletion."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from sqlalchemy.exc import DBAPIError
from support import execute, read_table

from bedplate.core.clock import utc_now
from bedplate.jobs import JobRun
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.tasks import remove_expired
from bedplate.modules.users.models import User

DAY = timedelta(days=1)


async def add(app: Application, **values: Any) -> UUID:
    """Write an event, also with values from another time."""
    event = AuditEvent(**{"action": "planted", **values})
    async with app.state.runtime.database.unit_of_work() as session:
        session.add(event)
    return event.id


async def actions(app: Application) -> set[str]:
    return {event.action for event in await read_table(app, AuditEvent)}


async def database_error(
    app: Application, statement: Any, before: Sequence[str] = ()
) -> str:
    """Run a statement that the database rejects, and return its error."""
    async with app.state.runtime.database.engine.connect() as connection:
        for sql in before:
            await connection.execute(sa.text(sql))
        with pytest.raises(DBAPIError) as error:
            await connection.execute(statement)
    return str(error.value)


async def test_no_event_is_changed(app: Application) -> None:
    await add(app, keep_until=utc_now() - DAY)
    for column in AuditEvent.__table__.columns:
        same = sa.update(AuditEvent).values({column.key: column})
        assert "append-only" in await database_error(app, same)


async def test_no_event_is_deleted_before_its_time(app: Application) -> None:
    event_ids = [
        await add(app, keep_until=utc_now() + timedelta(minutes=1)),
        await add(app),
        # Events from before `keep_until` existed are kept for 365 days.
        await add(app, created_at=utc_now() - 364 * DAY),
    ]
    for event_id in event_ids:
        message = await database_error(
            app, sa.delete(AuditEvent).where(AuditEvent.id == event_id)
        )
        assert "audit_events is append-only" in message
        assert "kept until its keep_until" in message
    assert len(await read_table(app, AuditEvent)) == 3


async def test_deleting_all_events_deletes_none(app: Application) -> None:
    await add(app, keep_until=utc_now() - DAY)
    await add(app)

    await database_error(app, sa.delete(AuditEvent))

    assert len(await read_table(app, AuditEvent)) == 2


async def test_an_event_is_deleted_after_its_time(app: Application) -> None:
    await add(app, keep_until=utc_now() - timedelta(seconds=2))
    await add(app, created_at=utc_now() - 366 * DAY)

    await execute(app, sa.delete(AuditEvent))

    assert await read_table(app, AuditEvent) == []


# Other statements that would change or delete events.
WORKAROUNDS = {
    "sqlite": [
        # REPLACE deletes a conflicting row without firing the trigger for deletions.
        """
        REPLACE INTO audit_events (id, created_at, action, details)
        SELECT id, created_at, 'forged', details FROM audit_events
        """,
        """
        REPLACE INTO audit_events (rowid, id, created_at, action, details)
        SELECT rowid, 'another', created_at, 'forged', details FROM audit_events
        """,
        """
        INSERT INTO audit_events (id, created_at, action, details)
        SELECT id, created_at, 'forged', details FROM audit_events WHERE true
        ON CONFLICT DO UPDATE SET action = 'forged'
        """,
        "UPDATE OR REPLACE audit_events SET action = 'forged'",
    ],
    "postgresql": [
        "TRUNCATE audit_events",
        "TRUNCATE audit_events, sessions RESTART IDENTITY CASCADE",
        """
        INSERT INTO audit_events (id, created_at, action, details)
        SELECT id, created_at, 'forged', details FROM audit_events
        ON CONFLICT (id) DO UPDATE SET action = 'forged'
        """,
    ],
}


async def test_workarounds_are_rejected_too(app: Application) -> None:
    await add(app)
    for statement in WORKAROUNDS[app.state.runtime.database.dialect.name]:
        assert "append-only" in await database_error(app, sa.text(statement)), statement

    assert await actions(app) == {"planted"}


# On PostgreSQL a caller could put another `now()` first in its search path.
SHADOWS = {
    "sqlite": [],
    "postgresql": [
        """
        CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT 'infinity'::timestamptz $$
        """,
        "SET search_path = public, pg_catalog",
    ],
}


async def test_a_shadowed_clock_does_not_allow_deletion(app: Application) -> None:
    await add(app)
    shadows = SHADOWS[app.state.runtime.database.dialect.name]

    assert "kept until" in await database_error(app, sa.delete(AuditEvent), shadows)


@pytest.mark.parametrize("setting_overrides", [{"audit_days": 30}])
async def test_the_setting_applies_to_later_events(
    app: Application, user: User
) -> None:
    before = await add(app, action="before", keep_until=utc_now() + 365 * DAY)
    async with app.state.runtime.database.unit_of_work() as session:
        await AuditService(session).record(
            Action.SIGNED_IN, actor_id=user.id, subject_id=user.id
        )

    stored = {event.action: event for event in await read_table(app, AuditEvent)}
    recorded = stored[Action.SIGNED_IN]
    assert recorded.keep_until - recorded.created_at == 30 * DAY
    assert stored["before"].id == before
    assert stored["before"].keep_until > utc_now() + 364 * DAY


async def test_the_purge_deletes_expired_events_and_nothing_else(
    app: Application,
) -> None:
    await add(app, action="over", keep_until=utc_now() - DAY)
    await add(app, action="old and over", created_at=utc_now() - 366 * DAY)
    await add(app, action="kept", keep_until=utc_now() + DAY)
    await add(app, action="old and kept", created_at=utc_now() - 364 * DAY)
    # A database whose clock is slightly behind would reject the whole batch.
    await add(app, action="just over", keep_until=utc_now() - timedelta(seconds=5))

    await remove_expired(JobRun(app.state.runtime, "housekeeping", 1))

    assert await actions(app) == {"kept", "old and kept", "just over"}


async def test_the_events_of_a_deleted_account_stay(
    app: Application, as_user: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    assert (await as_admin.patch(f"/users/{user.id}", json={"name": "New"})).is_success
    assert (await as_admin.delete(f"/users/{user.id}")).status_code == 204

    events = await read_table(app, AuditEvent)
    assert {event.subject_id for event in events} == {user.id}
    assert [e.action for e in events] == ["user.updated", "user.deleted"]

"""What has expired is deleted in batches, and nothing else is."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from support import execute, read_table
from support_auth import is_signed_in, refresh, sign_in, try_sign_in

from bedplate.core.clock import utc_now
from bedplate.jobs import JobRun
from bedplate.limits import RateLimit
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.auth import tasks
from bedplate.modules.auth.models import RefreshToken
from bedplate.modules.users.models import User, UserSession


async def count(app: Application, model: Any) -> int:
    async with app.state.runtime.database.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(model)
        return int(await connection.scalar(query) or 0)


async def test_expired_rows_go_and_live_ones_stay(
    app: Application,
    client: AsyncClient,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "BATCH", 2)  # several rounds
    expired = [await sign_in(client, user.email) for _ in range(5)]
    ids = [session.id for session in await read_table(app, UserSession)]
    live = await sign_in(client, user.email)
    live = (await refresh(client, live["refresh_token"])).json()
    await try_sign_in(client, user.email, "wrong")
    ended = sa.update(UserSession).where(UserSession.id.in_(ids))
    await execute(app, ended.values(expires_at=utc_now()))
    await execute(app, sa.update(RateLimit).values(expires_at=utc_now()))
    events = len(await read_table(app, AuditEvent))

    await tasks.remove_expired(JobRun(app.state.runtime, "housekeeping", 1))

    assert [await is_signed_in(client, tokens) for tokens in expired] == [False] * 5
    assert await is_signed_in(client, live)
    assert await count(app, UserSession) == 1
    assert await count(app, RefreshToken) == 2
    assert await count(app, RateLimit) == 0
    assert await count(app, AuditEvent) == events


async def test_the_audit_trail_is_kept_as_long_as_the_setting_says(
    app: Application, user: User
) -> None:
    days = app.state.runtime.settings.audit_days
    ages = [days - 1, days + 1]
    rows = [
        AuditEvent(action=str(age), created_at=utc_now() - timedelta(days=age))
        for age in ages
    ]
    async with app.state.runtime.database.unit_of_work() as session:
        session.add_all(rows)

    await tasks.remove_expired(JobRun(app.state.runtime, "housekeeping", 1))

    assert [e.action for e in await read_table(app, AuditEvent)] == [str(days - 1)]

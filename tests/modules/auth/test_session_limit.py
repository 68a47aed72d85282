"""An account has at most so many sessions; the one used least recently makes room."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from support import read_table
from support_auth import is_signed_in, refresh, sign_in, try_sign_in

from bedplate.core.clock import utc_now
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.browser import Browser
from bedplate.testing.clock import FrozenClock
from bedplate.testing.plugin import PASSWORD


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"max_sessions_per_user": 3}


async def test_one_sign_in_more_ends_the_session_used_least_recently(
    app: Application, client: AsyncClient, user: User, frozen_clock: FrozenClock
) -> None:
    first, second, third = [await signed_in(client, user, frozen_clock) for _ in "123"]
    answer = await refresh(client, first["refresh_token"])
    frozen_clock.advance(timedelta(seconds=1))

    fourth = await signed_in(client, user, frozen_clock)

    assert not await is_signed_in(client, second)
    for tokens in (answer.json(), third, fourth):
        assert await is_signed_in(client, tokens)
    (event,) = [e for e in await read_table(app, AuditEvent) if "revoked" in e.action]
    assert event.subject_id == user.id
    assert event.details == {"reason": "max_sessions_per_user", "count": 1}


async def signed_in(client: AsyncClient, user: User, clock: FrozenClock) -> Any:
    tokens = await sign_in(client, user.email)
    clock.advance(timedelta(seconds=1))
    return tokens


async def test_sign_ins_at_once_are_all_answered_and_leave_the_limit(
    app: Application, client: AsyncClient, user: User, other: User
) -> None:
    await sign_in(client, other.email)
    answers = await asyncio.gather(
        *(try_sign_in(client, user.email, PASSWORD) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    sessions = await read_table(app, UserSession)
    assert [s.user_id for s in sessions].count(user.id) == 3
    assert [s.user_id for s in sessions].count(other.id) == 1
    alive = [await is_signed_in(client, answer.json()) for answer in answers]
    assert alive.count(True) == 3


async def test_what_has_expired_takes_no_place(
    app: Application, client: AsyncClient, user: User
) -> None:
    remaining = [await sign_in(client, user.email) for _ in range(2)]
    long_ago = utc_now() - timedelta(days=1)
    async with app.state.runtime.database.unit_of_work() as session:
        session.add_all(
            UserSession(user_id=user.id, last_used_at=utc_now(), expires_at=long_ago)
            for _ in range(5)
        )
    remaining.append(await sign_in(client, user.email))

    assert all([await is_signed_in(client, tokens) for tokens in remaining])


async def test_the_admin_site_counts_too(
    app: Application, browser: Browser, client: AsyncClient, admin: User
) -> None:
    for _ in range(3):
        await sign_in(client, admin.email)
    await browser.sign_in(admin.email, PASSWORD)

    assert len(await read_table(app, UserSession)) == 3
    assert "Overview" in browser.page.text

"""No request holds a database connection and waits for a second one."""

import asyncio
import itertools
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table

from bedplate.core.errors import ServiceUnavailable
from bedplate.database.pool import SecondConnection
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.runtime import make_database
from bedplate.testing.browser import Browser
from bedplate.testing.guards import example_request, operations
from bedplate.testing.mailbox import Mailbox

FAILED = range(500, 600)


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Limit the pool, so that waiting for a second connection fails."""
    return {"pool_size": 1, "pool_timeout": 15}


async def statuses_of(
    client: AsyncClient, document: dict[str, Any], *, skip: set[str]
) -> dict[str, list[int]]:
    """Send each operation three times concurrently, with and without a key."""
    statuses = {}
    keys = itertools.count()
    for name, _ in sorted(operations(document)):
        if name in skip:
            continue
        request = example_request(document, name)
        request["url"] = f"http://test{request['url']}"
        one, other = ({"Idempotency-Key": f"key-{next(keys)}"} for _ in range(2))
        requests = [
            client.request(**request, headers=headers) for headers in ({}, one, other)
        ]
        statuses[name] = [
            response.status_code for response in await asyncio.gather(*requests)
        ]
    return statuses


# They end the session that the others need.
LAST = {"DELETE /api/v1/users/me", "POST /api/v1/auth/logout"}


async def test_every_operation_of_the_api_answers_with_one_connection(
    app: Application, as_admin: AsyncClient
) -> None:
    statuses = await statuses_of(as_admin, app.openapi(), skip=LAST)
    for name in sorted(LAST, reverse=True):
        response = await as_admin.request(*name.replace("/api/v1", "").split())
        statuses[name] = [response.status_code]

    failed = {
        name: codes
        for name, codes in statuses.items()
        if any(code in FAILED for code in codes)
    }
    assert len(statuses) > 30
    assert not failed


async def test_every_operation_under_rest_framework_answers_with_one_connection(
    with_admin: ASGIApp, as_admin: AsyncClient
) -> None:
    headers = {"Authorization": as_admin.headers["Authorization"]}
    transport = httpx.ASGITransport(with_admin)
    async with AsyncClient(transport=transport, headers=headers) as client:
        document = (await client.get("http://test/django/api/v1/schema")).json()
        statuses = await statuses_of(client, document, skip=set())

    failed = {
        name: codes
        for name, codes in statuses.items()
        if any(code in FAILED for code in codes)
    }
    assert len(statuses) > 10
    assert not failed


async def test_every_action_of_the_admin_answers_with_one_connection(
    app: Application, admin_browser: Browser, user: User, mailbox: Mailbox
) -> None:
    page = f"/admin/bedplate/user/{user.id}"
    for action in ("send-password-reset", "deactivate", "activate", "revoke-sessions"):
        if action == "deactivate":  # which voids the link
            await mailbox.arrival(user.email, "new password")
        await admin_browser.open(f"{page}/change/")
        await admin_browser.submit(f"/act/{action}/")
        assert 'class="success"' in admin_browser.page.text, action
    await admin_browser.open(f"{page}/change/")
    saved = await admin_browser.submit(name="Renamed")
    assert saved.status_code == 302


async def test_concurrent_requests_with_keys_that_count_a_limit_all_succeed(
    app: Application, as_user: AsyncClient
) -> None:
    # A regression: the key held a connection while the limit waited for another.
    requests = [
        as_user.post(
            "/users",
            json={
                "email": f"new{number}@example.com",
                "name": "New",
                "password": "Passw0rd-of-tests",
            },
            headers={"Idempotency-Key": f"key-{number}"},
        )
        for number in range(18)
    ]
    responses = await asyncio.gather(*requests)

    assert [response.status_code for response in responses] == [201] * 18
    assert len(await read_table(app, User)) == 19


# The guard itself


async def test_a_second_connection_is_rejected_immediately(app: Application) -> None:
    database = app.state.runtime.database
    async with database.unit_of_work() as first:
        await first.connection()
        async with database.unit_of_work() as second:
            with pytest.raises(SecondConnection, match="second one"):
                await second.connection()


async def test_another_task_can_have_a_connection(app: Application) -> None:
    database = app.state.runtime.database

    async def work() -> None:
        async with database.unit_of_work() as session:
            await session.connection()

    async with database.unit_of_work() as first:
        await first.connection()
        waiting = asyncio.create_task(work())
        await asyncio.sleep(0)
        await first.rollback()
    await waiting


async def test_after_a_rollback_a_task_can_have_another_connection(
    app: Application,
) -> None:
    database = app.state.runtime.database
    async with database.unit_of_work() as first:
        await first.connection()
        await first.rollback()
        async with database.unit_of_work() as second:
            await second.connection()


async def test_in_production_a_second_connection_is_logged_and_waits(
    app: Application, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = app.state.runtime.settings.model_copy(
        update={"environment": "production", "pool_timeout": 0.1}
    )
    database = make_database(settings)
    try:
        async with database.unit_of_work() as first:
            await first.connection()
            with pytest.raises(ServiceUnavailable):
                async with database.unit_of_work() as second:
                    await second.connection()
    finally:
        await database.close()

    assert "second connection" in capfd.readouterr().err

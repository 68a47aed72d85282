"""A worker inside the serving process."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS
from httpx import AsyncClient
from support import execute

from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.example import BUILT_IN
from bedplate.jobs import WorkerHeartbeat
from bedplate.main import Application, create_app
from bedplate.modules.jobs.tasks import purge_jobs
from bedplate.runtime import Runtime
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import client_for
from bedplate.worker import Worker

SIGN_UP = {"email": "ann@example.com", "name": "Ann", "password": "Passw0rd-of-tests"}
READY = "http://test/health/ready"


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"embedded_worker": True}


async def test_it_sends_mail_and_is_reported_as_ready(
    client: AsyncClient, mailbox: Mailbox
) -> None:
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201
    async with asyncio.timeout(15):
        while not list(mailbox):  # noqa: ASYNC110, a file has no event to wait for
            await asyncio.sleep(0.05)

    ready = await client.get(READY)
    assert ready.json()["checks"]["jobs"] == "ok"


async def test_without_a_heartbeat_the_server_is_not_ready(
    app: Application, client: AsyncClient
) -> None:
    await execute(app, sa.delete(WorkerHeartbeat))
    ready = await client.get(READY)

    assert ready.status_code == 503
    assert ready.json()["checks"]["jobs"] == "failed"


async def test_the_engine_has_the_declared_schedules(app: Application) -> None:
    jobs = app.state.runtime.jobs.jobs.values()
    schedules = await asyncio.to_thread(DBOS.list_schedules)

    declared = {(job.name, job.cron) for job in jobs if job.cron}
    assert {(s["schedule_name"], s["schedule"]) for s in schedules} == declared
    assert {"purge_jobs", "remove_expired"} <= {name for name, _ in declared}


async def test_it_deletes_its_heartbeat_when_it_stops(settings: Settings) -> None:
    app = create_app(settings, BUILT_IN)
    async with app.router.lifespan_context(app):
        assert await _heartbeats(app) == 1
    app = create_app(settings, BUILT_IN)
    async with app.router.lifespan_context(app):
        assert await _heartbeats(app) == 1
        async with client_for(app) as client:
            assert (await client.get(READY)).status_code == 200


async def _heartbeats(app: Application) -> int:
    query = sa.select(sa.func.count()).select_from(WorkerHeartbeat)
    async with app.state.runtime.database.engine.connect() as connection:
        return int(await connection.scalar(query) or 0)


async def test_an_unreachable_database_is_not_a_job_s_outcome() -> None:
    # The engine stores no outcome for a canceled run, so the job runs again.
    settings = Settings.load(
        _env_file=None,
        database_url="postgresql://me@127.0.0.1:1/none",
        secret_key=TEST_KEY,
    )
    runtime = Runtime.make(settings, BUILT_IN)
    worker = Worker(runtime)
    with pytest.raises(asyncio.CancelledError):
        await worker._tick(utc_now(), purge_jobs.name)
    with pytest.raises(asyncio.CancelledError):
        await worker._attempt(purge_jobs, {})
    await runtime.close()

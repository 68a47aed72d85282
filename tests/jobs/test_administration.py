"""Administration of jobs over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from support_jobs import claim, mark_dead

from bedplate.jobs import enqueue
from bedplate.jobs.store import JobStore
from bedplate.main import Application
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.jobs.tasks import purge_jobs
from bedplate.testing.plugin import RunJobs

WELCOME: dict[str, Any] = {
    "template": "welcome",
    "to": "ann@example.com",
    "context": {"name": "Ann"},
}


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Turn the worker off: these tests claim jobs and mark them dead themselves."""
    return {"embedded_worker": False}


@pytest.fixture
async def queued(app: Application) -> str:
    async with app.state.runtime.database.unit_of_work() as session:
        return await enqueue(session, send_email, **WELCOME)


@pytest.fixture
async def dead(app: Application, queued: str) -> str:
    """Return the id of a job that was marked dead after its last attempt."""
    async with app.state.runtime.database.unit_of_work() as session:
        await mark_dead(session, queued)
    return queued


async def test_a_queued_job_is_listed(as_admin: AsyncClient, queued: str) -> None:
    page = (await as_admin.get("/jobs")).json()

    assert page["total"] == 1
    [job] = page["items"]
    assert job["id"] == queued
    assert (job["job"], job["status"], job["queue"]) == (
        "send_email",
        "queued",
        "mail",
    )
    assert (job["attempts"], job["error"]) == (0, None)


@pytest.mark.parametrize(
    ("params", "is_listed"),
    [
        ({"status": "queued"}, True),
        ({"status": "dead"}, False),
        ({"job": "send_email"}, True),
        ({"job": "purge_jobs"}, False),
        ({"queue": "mail"}, True),
        ({"queue": "default"}, False),
    ],
)
async def test_the_list_is_filtered(
    as_admin: AsyncClient, queued: str, params: dict[str, str], is_listed: bool
) -> None:
    page = (await as_admin.get("/jobs", params=params)).json()

    assert [job["id"] for job in page["items"]] == [queued] * is_listed


async def test_the_list_is_read_by_cursor_without_a_gap(
    app: Application, as_admin: AsyncClient
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        ids = {await enqueue(session, purge_jobs) for _ in range(7)}
    listed_ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await as_admin.get(f"/jobs?limit=3&cursor={cursor}")).json()
        listed_ids += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]

    assert len(listed_ids) == 7
    assert set(listed_ids) == ids


async def test_a_dead_job_shows_its_error_and_can_be_retried(
    as_admin: AsyncClient, dead: str, run_jobs: RunJobs
) -> None:
    job = (await as_admin.get(f"/jobs/{dead}")).json()
    assert job["status"] == "dead"
    assert job["error"] == "RuntimeError: the mail server said no"

    retried = (await as_admin.post(f"/jobs/{dead}/retry")).json()
    assert (retried["status"], retried["attempts"]) == ("queued", 0)
    assert await run_jobs() == ["send_email"]


async def test_only_a_dead_job_can_be_retried(
    as_admin: AsyncClient, queued: str
) -> None:
    response = await as_admin.post(f"/jobs/{queued}/retry")

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "JOB_NOT_DEAD"


async def test_a_discarded_job_does_not_run(
    as_admin: AsyncClient, queued: str, run_jobs: RunJobs
) -> None:
    assert (await as_admin.delete(f"/jobs/{queued}")).status_code == 204

    assert await run_jobs() == []
    assert (await as_admin.get(f"/jobs/{queued}")).status_code == 404


async def test_a_running_job_is_not_discarded(
    app: Application, as_admin: AsyncClient, queued: str
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        await claim(session, queued)
    response = await as_admin.delete(f"/jobs/{queued}")

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "JOB_RUNNING"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/{id}"])
async def test_jobs_are_for_admins(
    as_user: AsyncClient, queued: str, path: str
) -> None:
    assert (await as_user.get(path.format(id=queued))).status_code == 403


async def test_successful_jobs_are_purged_and_dead_ones_stay(
    app: Application, as_admin: AsyncClient, dead: str
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        done = await enqueue(session, purge_jobs)
        row = await session.get(JobStore(session).job, UUID(done))
        row.status = "succeeded"
        row.completed_at = row.created_at - timedelta(days=8)
    async with app.state.runtime.database.unit_of_work() as session:
        assert await JobStore(session).purge(timedelta(days=7)) == 1

    page = (await as_admin.get("/jobs")).json()
    assert [job["id"] for job in page["items"]] == [dead]

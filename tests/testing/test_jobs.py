"""Jobs in tests: run by the embedded worker, or by the fixture."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from bedplate.example import BUILT_IN
from bedplate.jobs import JobRun, enqueue, exponential, job
from bedplate.main import Application
from bedplate.module import Module
from bedplate.testing.application import make_application
from bedplate.testing.jobs import JobFailed, JobsUnfinished
from bedplate.testing.plugin import RunJobs

by_hand = pytest.mark.parametrize("setting_overrides", [{}, {"embedded_worker": False}])
ran: list[str] = []


@job
async def note(run: JobRun, text: str) -> None:
    ran.append(text)


@job
async def note_twice(run: JobRun, text: str) -> None:
    ran.append(text)
    async with run.unit_of_work() as session:
        await enqueue(session, note, text=f"{text} again")


@job(attempts=3, backoff=exponential(timedelta(hours=1)))
async def break_down(run: JobRun) -> None:
    raise LookupError("nothing there")


@job(attempts=1)
async def give_up(run: JobRun) -> None:
    raise LookupError("for good")


@job
async def hang(run: JobRun) -> None:
    await asyncio.sleep(3600)


@pytest.fixture(scope="session")
def application() -> FastAPI:
    jobs = [note, note_twice, break_down, give_up, hang]
    return make_application((*BUILT_IN, Module(name="notes", jobs=jobs)))


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


async def promise(app: Application, job: Any, **options: Any) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        await enqueue(session, job, **options)


@by_hand
async def test_jobs_and_what_they_enqueue_are_finished_and_named_once(
    app: Application, run_jobs: RunJobs
) -> None:
    await promise(app, note_twice, text="a")
    assert await run_jobs() == ["note_twice", "note"]
    assert ran == ["a", "a again"]

    await promise(app, note, text="b")
    assert await run_jobs() == ["note"]
    assert await run_jobs() == []
    assert ran == ["a", "a again", "b"]


@by_hand
async def test_delayed_jobs_wait_until_they_are_requested(
    app: Application, run_jobs: RunJobs
) -> None:
    await promise(app, note, text="later", delay=timedelta(days=1))

    assert await run_jobs() == []
    assert await run_jobs(delayed=True) == ["note"]
    assert ran == ["later"]


@by_hand
@pytest.mark.parametrize("failing", [break_down, give_up])
async def test_a_job_that_fails_fails_the_test(
    app: Application, run_jobs: RunJobs, failing: Any
) -> None:
    await promise(app, failing)

    with pytest.raises(JobFailed, match=f"{failing.name}: LookupError"):
        await run_jobs()


@pytest.mark.parametrize("setting_overrides", [{"worker_stop_seconds": 1}])
async def test_a_job_that_hangs_is_named(
    app: Application, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bedplate.testing.jobs.PATIENCE", timedelta(seconds=0.5))
    await promise(app, hang)

    with pytest.raises(JobsUnfinished, match="hang"):
        await run_jobs()

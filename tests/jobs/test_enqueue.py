"""A job commits with the write that causes it, or not at all."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from bedplate.core.clock import utc_now
from bedplate.jobs import JobError, JobRun, enqueue, job
from bedplate.main import Application
from bedplate.modules.emails.tasks import send_email
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import RunJobs

SIGN_UP = {"email": "ann@example.com", "name": "Ann", "password": "Passw0rd-of-tests"}
WELCOME: dict[str, Any] = {
    "template": "welcome",
    "to": "ann@example.com",
    "context": {"name": "Ann"},
}


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"mail_from": "Acme <hi@acme.example>"}


async def test_a_sign_up_gets_a_welcome_mail(
    client: AsyncClient, mailbox: Mailbox
) -> None:
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201

    await mailbox.settle()
    [mail] = mailbox
    assert mail["To"] == "ann@example.com"
    assert mail["Subject"] == "Welcome to Acme"
    assert mail["Message-ID"].endswith("@acme.example>")
    for subtype in ("plain", "html"):
        part = mail.get_body([subtype])
        assert part is not None
        assert "Your account at Acme is ready." in part.get_content()


async def test_a_refused_sign_up_sends_no_mail(
    client: AsyncClient, mailbox: Mailbox
) -> None:
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201
    assert (await client.post("/users", json=SIGN_UP)).status_code == 409

    await mailbox.settle()
    assert len(list(mailbox)) == 1


async def test_a_rollback_undoes_the_job(app: Application, mailbox: Mailbox) -> None:
    unit_of_work = app.state.runtime.database.unit_of_work
    with suppress(ZeroDivisionError):
        async with unit_of_work() as session:
            await enqueue(session, send_email, **WELCOME)
            raise ZeroDivisionError
    async with unit_of_work() as session:
        job_id = await enqueue(session, send_email, **WELCOME)

    await mailbox.settle()
    [mail] = mailbox
    assert mail["Message-ID"] == f"<{job_id}@acme.example>"


async def test_a_rolled_back_savepoint_undoes_its_job(
    app: Application, run_jobs: RunJobs
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        await enqueue(session, send_email, **WELCOME)
        with suppress(ZeroDivisionError):
            async with session.begin_nested():
                await enqueue(session, send_email, **WELCOME)
                raise ZeroDivisionError

    assert await run_jobs() == ["send_email"]


async def test_several_jobs_with_one_key_run_once(
    app: Application, run_jobs: RunJobs
) -> None:
    async def enqueue_welcome() -> str:
        async with app.state.runtime.database.unit_of_work() as session:
            return await enqueue(session, send_email, key="welcome ann", **WELCOME)

    ids = await asyncio.gather(*(enqueue_welcome() for _ in range(5)))

    assert len(set(ids)) == 1
    assert await run_jobs() == ["send_email"]


@pytest.mark.parametrize("when", ["delay", "due_at"])
async def test_a_job_for_later_is_not_queued_yet(
    app: Application, run_jobs: RunJobs, when: str
) -> None:
    hour = timedelta(hours=1)
    later: dict[str, Any] = (
        {"delay": hour} if when == "delay" else {"due_at": utc_now() + hour}
    )
    async with app.state.runtime.database.unit_of_work() as session:
        await enqueue(session, send_email, **later, **WELCOME)

    assert await run_jobs() == []
    assert await run_jobs(delayed=True) == ["send_email"]


async def test_arguments_that_the_job_does_not_declare_are_refused(
    app: Application,
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        with pytest.raises(JobError, match="color"):
            await enqueue(session, send_email, **WELCOME, color="red")
        with pytest.raises(JobError, match="template"):
            await enqueue(session, send_email, to="a@example.com", context={})


async def test_a_job_that_no_module_lists_is_refused(app: Application) -> None:
    @job
    async def forgotten(run: JobRun) -> None: ...

    async with app.state.runtime.database.unit_of_work() as session:
        with pytest.raises(JobError, match="no module lists"):
            await enqueue(session, forgotten)


@pytest.mark.parametrize(
    "when",
    [
        {"due_at": datetime(2030, 1, 1)},  # noqa: DTZ001, the error under test
        {"due_at": utc_now(), "delay": timedelta()},
    ],
)
async def test_an_invalid_time_is_refused(
    app: Application, when: dict[str, Any]
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        with pytest.raises(JobError, match="due_at"):
            await enqueue(session, send_email, **when, **WELCOME)


async def test_a_job_due_in_the_past_runs_now(
    app: Application, run_jobs: RunJobs
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        await enqueue(session, send_email, delay=timedelta(hours=-1), **WELCOME)
        yesterday = utc_now() - timedelta(days=1)
        await enqueue(session, send_email, due_at=yesterday, **WELCOME)

    assert await run_jobs() == ["send_email"] * 2

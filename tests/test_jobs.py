"""A job commits with the write that caused it, or not at all."""

import asyncio
from contextlib import suppress
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from bedplate.config import Settings
from bedplate.jobs import JobError, enqueue
from bedplate.main import Application
from bedplate.modules.emails.tasks import send_email
from bedplate.testing.plugin import running

SIGN_UP = {"email": "ann@example.com", "name": "Ann", "password": "Passw0rd-of-tests"}
WELCOME: dict[str, Any] = {
    "template": "welcome",
    "to": "ann@example.com",
    "context": {"name": "Ann"},
}


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def setting_overrides(outbox: Path) -> dict[str, Any]:
    return {"mail_url": f"file://{outbox}", "mail_from": "Acme <hi@acme.example>"}


def mails(outbox: Path) -> list[Any]:
    return [
        message_from_bytes(file.read_bytes(), policy=policy.default)
        for file in sorted(outbox.glob("*.eml"))
    ]


async def arrival(outbox: Path, count: int = 1) -> list[Any]:
    async with asyncio.timeout(15):
        while len(mails(outbox)) < count:  # noqa: ASYNC110, a file wakes nobody
            await asyncio.sleep(0.02)
    return mails(outbox)


async def test_a_sign_up_is_welcomed_by_mail(client: AsyncClient, outbox: Path) -> None:
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201

    [mail] = await arrival(outbox)
    assert mail["To"] == "ann@example.com"
    assert mail["Subject"] == "Welcome to Acme"
    assert mail["Message-ID"].endswith("@acme.example>")
    assert "Hello Ann" in mail.get_body(["plain"]).get_content()
    assert "Hello Ann" in mail.get_body(["html"]).get_content()


async def test_a_refused_sign_up_sends_no_mail(
    client: AsyncClient, outbox: Path
) -> None:
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201
    assert (await client.post("/users", json=SIGN_UP)).status_code == 409

    other = {**SIGN_UP, "email": "bob@example.com"}
    assert (await client.post("/users", json=other)).status_code == 201
    sent = await arrival(outbox, count=2)
    assert sorted(mail["To"] for mail in sent) == ["ann@example.com", "bob@example.com"]


async def test_a_rollback_takes_the_job_along(settings: Settings, outbox: Path) -> None:
    async with running(settings) as app:
        unit_of_work = app.state.runtime.database.unit_of_work
        with suppress(ZeroDivisionError):
            async with unit_of_work() as session:
                await enqueue(session, send_email, **WELCOME)
                raise ZeroDivisionError
        async with unit_of_work() as session:
            kept = await enqueue(session, send_email, **WELCOME)
            assert mails(outbox) == []
        await arrival(outbox)

    assert [mail["Message-ID"] for mail in mails(outbox)] == [f"<{kept}@acme.example>"]


async def test_arguments_that_the_job_does_not_declare_are_refused(
    app: Application,
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        with pytest.raises(JobError, match="colour"):
            await enqueue(session, send_email, **WELCOME, colour="red")
        with pytest.raises(JobError, match="template"):
            await enqueue(session, send_email, to="a@example.com", context={})

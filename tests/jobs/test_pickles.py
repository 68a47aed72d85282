"""Rows with pickles can be shown and managed, and are never decoded."""

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from support_pickles import bomb, plant

from bedplate.jobs import enqueue
from bedplate.jobs.dbos import DBOSClient, SerializationRefused
from bedplate.jobs.store import JobStore
from bedplate.jobs.tables import JobFailure, JobTraceback
from bedplate.main import Application
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.jobs.tasks import purge_jobs
from bedplate.testing.browser import Browser
from bedplate.testing.mailbox import Mailbox

SITE = "/admin/bedplate"
SIGN_UP = {"email": "ann@example.com", "name": "Ann", "password": "Passw0rd-of-tests"}


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Turn the worker off, so that it doesn't claim planted rows."""
    return {"embedded_worker": False}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """Yield the file that a loaded pickle creates. It must not exist at the end."""
    path = tmp_path / "the payload was run"
    yield path
    assert not path.exists()


@pytest.fixture
async def pickled(app: Application, mark: Path) -> str:
    """Return the id of a dead job whose arguments, output and error are pickles."""
    async with app.state.runtime.database.unit_of_work() as session:
        job_id = await enqueue(
            session, send_email, template="welcome", to="ann@example.com", context={}
        )
        await plant(session, job_id, mark, "py_pickle", status="ERROR")
    return job_id


async def test_the_api_shows_the_stored_text(
    as_admin: AsyncClient, pickled: str, mark: Path
) -> None:
    page = await as_admin.get("/jobs", params={"status": "dead"})
    job = await as_admin.get(f"/jobs/{pickled}")

    assert [job["id"] for job in page.json()["items"]] == [pickled]
    assert job.json()["error"] == bomb(mark)


@pytest.mark.parametrize("model", ["job", "mail"])
async def test_the_admin_site_shows_it_too(
    admin_browser: Browser, pickled: str, mark: Path, model: str
) -> None:
    list_page = await admin_browser.open(f"{SITE}/{model}/")
    change_page = await admin_browser.open(f"{SITE}/{model}/{pickled}/change/")

    assert list_page.status_code == 200
    assert change_page.status_code == 200
    assert bomb(mark) in change_page.text


async def test_it_can_be_retried_and_discarded(
    as_admin: AsyncClient, pickled: str
) -> None:
    assert (await as_admin.post(f"/jobs/{pickled}/retry")).status_code == 200
    assert (await as_admin.delete(f"/jobs/{pickled}")).status_code == 204


@pytest.mark.parametrize(
    "stored", ["{", "[1]", "null", "7", '{"name": "E"}', "[" * 100_000, "", None]
)
def test_an_error_in_another_format_is_shown_unchanged(
    stored: str | None,
) -> None:
    dialect = sa.make_url("sqlite://").get_dialect()()

    assert JobFailure().process_result_value(stored, dialect) == stored
    assert JobTraceback().process_result_value(stored, dialect) is None


async def test_the_engines_client_loads_no_pickle(
    app: Application, pickled: str, mark: Path
) -> None:
    # These reads are DBOS's own. Bedplate doesn't use them.
    client: DBOSClient = app.state.runtime.jobs.client
    [row] = await client.list_workflows_async(workflow_ids=[pickled])

    assert {row.input, row.output, row.error} == {bomb(mark)}
    with pytest.raises(SerializationRefused):
        await (await client.retrieve_workflow_async(pickled)).get_result()


@pytest.mark.parametrize("setting_overrides", [{"embedded_worker": True}])
async def test_a_job_runs_without_a_pickle(
    app: Application,
    client: AsyncClient,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # From enqueueing to the outcome, including jobs of schedules.
    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("a pickle was loaded")

    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert (await client.post("/users", json=SIGN_UP)).status_code == 201
    async with app.state.runtime.database.unit_of_work() as session:
        job_id = await enqueue(session, purge_jobs)
    async with asyncio.timeout(30):
        while not list(mailbox) or await _status(app, job_id) != "succeeded":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _status(app: Application, job_id: str) -> str:
    async with app.state.runtime.database.unit_of_work() as session:
        row = await session.get(JobStore(session).job, UUID(job_id))
        return str(row.status)

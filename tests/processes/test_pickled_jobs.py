"""Whoever can write to the database can't run code in a worker: no pickle is loaded."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import job_program
import pytest
from job_program import innocent, probe, sleep
from support_pickles import plant

from bedplate.config import Settings
from bedplate.database import Session
from bedplate.example import MODULES as EXAMPLE
from bedplate.jobs import enqueue
from bedplate.modules.jobs.schemas import JobResponse
from bedplate.modules.jobs.service import JobService
from bedplate.runtime import Runtime
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.servers import Process, serving, working

T = TypeVar("T")
PROGRAM = (sys.executable, str(Path(job_program.__file__)))
MODULES = (*(m for m in EXAMPLE if m.name != "probe"), probe)


class Service:
    """A folder with a worker in it, and what is done to its database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.mark = folder / "the payload was run"

    def start(self, how: str) -> AbstractContextManager[Process]:
        start: Any = working if how == "worker" else serving
        options: Any = {} if how == "worker" else {"embedded_worker": True}
        context: AbstractContextManager[Process] = start(
            self.folder, program=PROGRAM, **self._options, **options
        )
        return context

    @property
    def _options(self) -> dict[str, Any]:
        url = self.settings.resolved_database_url
        shown = url.render_as_string(hide_password=False)
        return {"database_url": shown, "secret_key": TEST_KEY}

    def do(self, act: Callable[[Session], Awaitable[T]]) -> T:
        async def work() -> T:
            runtime = Runtime.make(self.settings, MODULES)
            try:
                async with runtime.database.unit_of_work() as session:
                    return await act(session)
            finally:
                await runtime.close()

        return asyncio.run(work())

    def look_up(self, job_id: str) -> JobResponse:
        return self.do(lambda session: JobService(session).get(UUID(job_id)))

    def enqueue_pickled(self, serialization: str) -> str:
        async def act(session: Session) -> str:
            job_id = await enqueue(session, innocent, number=1)
            await plant(session, job_id, self.mark, serialization)
            return job_id

        return self.do(act)

    def wait_until(self, condition: Callable[[], object]) -> None:
        began = time.monotonic()
        while not condition():
            assert not self.mark.exists(), "a pickle was loaded"
            assert time.monotonic() - began < 30, "it didn't come about in time"
            time.sleep(0.05)

    def diary(self, word: str) -> list[str]:
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(word)]


@pytest.fixture
def service(settings: Settings, tmp_path: Path) -> Service:
    return Service(tmp_path, settings)


@pytest.mark.parametrize("how", ["worker", "server"])
def test_a_pickled_job_is_a_dead_letter_and_the_worker_goes_on(
    service: Service, how: str
) -> None:
    pickled = service.enqueue_pickled("py_pickle")
    unknown = service.enqueue_pickled("of-somebody-else")
    with service.start(how) as process:
        service.wait_until(lambda: service.look_up(pickled).status == "dead")
        service.wait_until(lambda: service.look_up(unknown).status == "dead")
        service.do(lambda session: enqueue(session, innocent, number=2))
        service.wait_until(lambda: service.diary("innocent") == ["innocent 2"])
        assert process.process.poll() is None
        said = process.errors + process.output

    assert not service.mark.exists()
    assert "'py_pickle'" in str(service.look_up(pickled).error)
    assert "'of-somebody-else'" in str(service.look_up(unknown).error)
    assert service.look_up(pickled).attempts == 1
    assert "job refused" in said
    assert pickled in said


def test_a_pickle_in_the_row_of_a_running_job_is_not_loaded(service: Service) -> None:
    """A run that has lost its row reads the outcome that is written there."""

    async def take_away(session: Session) -> None:
        await plant(session, job_id, service.mark, "py_pickle", status="SUCCESS")

    with service.start("worker") as process:
        job_id = service.do(lambda session: enqueue(session, sleep, seconds=1.5))
        service.wait_until(lambda: service.diary("began"))
        service.do(take_away)
        service.wait_until(lambda: service.diary("ended"))
        service.do(lambda session: enqueue(session, innocent, number=2))
        service.wait_until(lambda: service.diary("innocent"))
        service.wait_until(lambda: "never decoded" in process.errors + process.output)

    assert not service.mark.exists()

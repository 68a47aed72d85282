"""No pickle is loaded, so write access to the database can't run code in a worker."""

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
from bedplate.example import BUILT_IN
from bedplate.jobs import enqueue
from bedplate.modules.jobs.schemas import JobResponse
from bedplate.modules.jobs.service import JobService
from bedplate.runtime import Runtime
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.servers import Process, serving, working

T = TypeVar("T")
PROGRAM = (sys.executable, str(Path(job_program.__file__)))
MODULES = (*(m for m in BUILT_IN if m.name != "probe"), probe)


class Service:
    """A folder for a worker or server, and its database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.mark = folder / "the payload has run"

    def start(self, kind: str) -> AbstractContextManager[Process]:
        start: Any = working if kind == "worker" else serving
        options: Any = {} if kind == "worker" else {"embedded_worker": True}
        context: AbstractContextManager[Process] = start(
            self.folder, program=PROGRAM, **self._options, **options
        )
        return context

    @property
    def _options(self) -> dict[str, Any]:
        url = self.settings.resolved_database_url
        url_text = url.render_as_string(hide_password=False)
        return {"database_url": url_text, "secret_key": TEST_KEY}

    def run(self, run_in_session: Callable[[Session], Awaitable[T]]) -> T:
        async def work() -> T:
            runtime = Runtime.make(self.settings, MODULES)
            try:
                async with runtime.database.unit_of_work() as session:
                    return await run_in_session(session)
            finally:
                await runtime.close()

        return asyncio.run(work())

    def look_up(self, job_id: str) -> JobResponse:
        return self.run(lambda session: JobService(session).get(UUID(job_id)))

    def enqueue_pickled(self, serialization: str) -> str:
        async def run_in_session(session: Session) -> str:
            job_id = await enqueue(session, innocent, number=1)
            await plant(session, job_id, self.mark, serialization)
            return job_id

        return self.run(run_in_session)

    def wait_until(self, condition: Callable[[], object]) -> None:
        began = time.monotonic()
        while not condition():
            assert not self.mark.exists(), "a pickle was loaded"
            assert time.monotonic() - began < 30, "the condition was not met in time"
            time.sleep(0.05)

    def diary(self, word: str) -> list[str]:
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(word)]


@pytest.fixture
def service(settings: Settings, tmp_path: Path) -> Service:
    return Service(tmp_path, settings)


@pytest.mark.parametrize("kind", ["worker", "server"])
def test_a_pickled_job_is_dead_and_the_worker_continues(
    service: Service, kind: str
) -> None:
    pickled = service.enqueue_pickled("py_pickle")
    unknown = service.enqueue_pickled("of-another-tool")
    with service.start(kind) as process:
        service.wait_until(lambda: service.look_up(pickled).status == "dead")
        service.wait_until(lambda: service.look_up(unknown).status == "dead")
        service.run(lambda session: enqueue(session, innocent, number=2))
        service.wait_until(lambda: service.diary("innocent") == ["innocent 2"])
        assert process.process.poll() is None
        log = process.errors + process.output

    assert not service.mark.exists()
    assert "'py_pickle'" in str(service.look_up(pickled).error)
    assert "'of-another-tool'" in str(service.look_up(unknown).error)
    assert service.look_up(pickled).attempts == 1
    assert "job refused" in log
    assert pickled in log


def test_a_pickle_in_the_row_of_a_running_job_is_not_loaded(service: Service) -> None:
    # A run that lost its row reads the result that is stored there.

    async def take_over(session: Session) -> None:
        await plant(session, job_id, service.mark, "py_pickle", status="SUCCESS")

    with service.start("worker") as process:
        job_id = service.run(lambda session: enqueue(session, sleep, seconds=1.5))
        service.wait_until(lambda: service.diary("began"))
        service.run(take_over)
        service.wait_until(lambda: service.diary("ended"))
        service.run(lambda session: enqueue(session, innocent, number=2))
        service.wait_until(lambda: service.diary("innocent"))
        service.wait_until(lambda: "never decoded" in process.errors + process.output)

    assert not service.mark.exists()

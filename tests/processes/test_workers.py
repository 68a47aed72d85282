"""Workers as processes: killed, stopped, poisoned, and several at a time."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import job_program
import pytest
from job_program import dawdle as dawdle_job
from job_program import (
    drip,
    fail,
    innocent,
    poison,
    probe,
    sleep,
    squeeze,
    wait_long,
)

from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.jobs import Job, enqueue
from bedplate.jobs.outbox import key_to_id
from bedplate.modules.jobs.schemas import JobResponse
from bedplate.modules.jobs.service import JobService
from bedplate.runtime import Runtime
from bedplate.testing.servers import Worker, working

T = TypeVar("T")
JOB_PROGRAM = (sys.executable, str(Path(job_program.__file__)))
MODULES = (*(m for m in BUILT_IN if m.name != "probe"), probe)


class Fleet:
    """Workers in a folder, with methods to enqueue jobs and to see their effects."""

    def __init__(self, folder: Path, settings: Settings, stack: ExitStack) -> None:
        self.folder = folder
        self.settings = settings
        self._stack = stack

    def start(self, *arguments: str) -> Worker:
        url = self.settings.resolved_database_url
        worker = working(
            self.folder,
            *arguments,
            program=JOB_PROGRAM,
            database_url=url.render_as_string(hide_password=False),
            worker_stop_seconds=2,
        )
        return self._stack.enter_context(worker)

    def diary(self, word: str = "") -> list[list[str]]:
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in lines if line.startswith(word)]

    def enqueue(self, job: Job, count: int = 1, **arguments: Any) -> list[str]:
        async def work_with(runtime: Runtime) -> list[str]:
            async with runtime.database.unit_of_work() as session:
                return [await enqueue(session, job, **arguments) for _ in range(count)]

        return self._with_runtime(work_with)

    def look_up(self, job_id: str) -> JobResponse:
        async def work_with(runtime: Runtime) -> JobResponse:
            async with runtime.database.unit_of_work() as session:
                return await JobService(session).get(UUID(job_id))

        return self._with_runtime(work_with)

    def _with_runtime(self, work_with: Callable[[Runtime], Awaitable[T]]) -> T:
        async def work() -> T:
            runtime = Runtime.make(self.settings, MODULES)
            try:
                return await work_with(runtime)
            finally:
                await runtime.close()

        return asyncio.run(work())


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Any:
    with ExitStack() as stack:
        yield Fleet(tmp_path, settings, stack)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> float:
    """Wait for a condition, and return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "the condition was not met in time"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_killed_worker_is_taken_over_within_15_seconds(fleet: Fleet) -> None:
    first = fleet.start()
    [job_id] = fleet.enqueue(sleep, seconds=60)
    wait_until(lambda: fleet.diary("began"))
    fleet.start()
    first.kill()

    seconds = wait_until(lambda: len(fleet.diary("began")) == 2)
    wait_until(lambda: fleet.diary("ended"))
    print(f"taken over after {seconds:.1f} s")
    assert seconds < 15
    assert fleet.diary("began") == [["began", job_id, "1"], ["began", job_id, "2"]]


def test_a_job_that_kills_its_worker_stops_at_its_attempts(fleet: Fleet) -> None:
    [poisoned] = fleet.enqueue(poison)
    for number in range(10):
        fleet.enqueue(innocent, number=number)
    deaths = 0
    deadline = time.monotonic() + 60
    worker = fleet.start("--hasty")
    while fleet.look_up(poisoned).status != "dead":
        assert time.monotonic() < deadline
        if worker.process.poll() is not None:
            deaths += 1
            worker = fleet.start("--hasty")
        time.sleep(0.1)

    wait_until(lambda: len({n for _, n in fleet.diary("innocent")}) == 10)
    assert deaths == 3
    assert fleet.diary("poison") == [["poison", "1"], ["poison", "2"], ["poison", "3"]]
    assert "WorkerDied" in str(fleet.look_up(poisoned).error)
    assert worker.process.poll() is None


def test_a_failing_job_is_tried_again_and_then_dead(fleet: Fleet) -> None:
    fleet.start()
    [recovering] = fleet.enqueue(fail, until=3)
    [broken] = fleet.enqueue(fail, until=99)

    wait_until(lambda: fleet.look_up(broken).status == "dead")
    wait_until(lambda: fleet.look_up(recovering).status == "succeeded")
    assert Counter(n for _, n in fleet.diary("fail")) == {
        "1": 2,
        "2": 2,
        "3": 2,
        "4": 1,
    }
    assert fleet.look_up(broken).error == "RuntimeError: not before attempt 99"
    assert fleet.look_up(recovering).error is None


def test_a_job_over_its_timeout_is_stopped(fleet: Fleet) -> None:
    fleet.start()
    [job_id] = fleet.enqueue(dawdle_job)

    wait_until(lambda: fleet.look_up(job_id).status == "dead")
    assert fleet.diary("dawdle") == [["dawdle", "1"], ["dawdle", "2"]]
    assert "TimeoutError" in str(fleet.look_up(job_id).error)


def test_waiting_for_the_next_attempt_uses_no_slot(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    fleet.enqueue(wait_long, count=2)
    fleet.enqueue(innocent, number=1)

    wait_until(lambda: fleet.diary("innocent"))
    assert fleet.diary("wait_long") == [["wait_long", "1"]] * 2


def test_a_stopped_worker_finishes_short_jobs_and_releases_the_others(
    fleet: Fleet,
) -> None:
    first = fleet.start()
    [short] = fleet.enqueue(sleep, seconds=1.5)
    [long] = fleet.enqueue(sleep, seconds=8)
    wait_until(lambda: len(fleet.diary("began")) == 2)
    first.terminate()
    began = time.monotonic()
    assert first.wait() == 0
    assert time.monotonic() - began < 8
    assert fleet.diary("ended") == [["ended", short, "1"]]

    fleet.start()
    # Immediately, without waiting for a heartbeat to expire. The attempt didn't count.
    assert wait_until(lambda: len(fleet.diary("began")) == 3) < 5
    assert fleet.diary("began")[2] == ["began", long, "1"]


def test_the_concurrency_of_a_queue_applies_across_workers(fleet: Fleet) -> None:
    fleet.start()
    fleet.start()
    fleet.enqueue(squeeze, count=6)
    wait_until(lambda: len(fleet.diary("out")) == 6)

    inside = highest = 0
    for [word] in fleet.diary():
        inside += 1 if word == "in" else -1
        highest = max(highest, inside)
    assert highest == 2


def test_the_rate_of_a_queue_is_limited(fleet: Fleet) -> None:
    fleet.start()
    fleet.enqueue(drip, count=5)
    wait_until(lambda: len(fleet.diary("drip")) == 5)

    times = sorted(float(at) for _, at in fleet.diary("drip"))
    assert times[2] - times[0] > 2
    assert times[4] - times[2] > 2


def test_a_worker_runs_only_its_queues(fleet: Fleet) -> None:
    fleet.start("--queue", "slow")
    fleet.enqueue(innocent, number=1)
    fleet.enqueue(sleep, seconds=0)

    wait_until(lambda: fleet.diary("ended"))
    assert fleet.diary("innocent") == []


def test_two_workers_run_each_tick_of_a_schedule_once(
    fleet: Fleet, sign_ups: int
) -> None:
    ticks = sign_ups // 10
    first = fleet.start("--ticking", "--hasty")
    fleet.start("--ticking", "--hasty")
    wait_until(lambda: len(fleet.diary("tick")) >= ticks, 60)
    first.kill()
    count = len(fleet.diary("tick"))
    wait_until(lambda: len(fleet.diary("tick")) >= count + ticks, 60)

    runs = Counter(_moment(id_) for _, id_ in fleet.diary("tick"))
    # Without the last ones, which may still be running.
    expected = range(min(runs), max(runs) - 2)
    wait_until(lambda: not set(expected) - _moments(fleet))
    repeated = [moment for moment, count in runs.items() if count > 1]
    print(f"{len(runs)} ticks of {len(expected)} seconds, repeated: {len(repeated)}")
    # Only the job that was running on the killed worker may run again.
    assert len(repeated) <= 1


def _moments(fleet: Fleet) -> set[int]:
    return {_moment(id_) for _, id_ in fleet.diary("tick")}


def _moment(job_id: str) -> int:
    """Return the second of a scheduled run, from which its id is derived."""
    now = int(time.time())
    ids = {_tick_id(second): second for second in range(now - 300, now + 60)}
    return ids[job_id]


@cache
def _tick_id(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    return key_to_id(job_program.tick, moment.isoformat())

"""Workers as processes: killed, stopped, poisoned, at once."""

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
from bedplate.example import MODULES as EXAMPLE
from bedplate.jobs import Job, enqueue
from bedplate.jobs.outbox import key_to_id
from bedplate.modules.jobs.schemas import JobResponse
from bedplate.modules.jobs.service import JobService
from bedplate.runtime import Runtime
from bedplate.testing.servers import Worker, working

T = TypeVar("T")
JOB_PROGRAM = (sys.executable, str(Path(job_program.__file__)))
MODULES = (*(m for m in EXAMPLE if m.name != "probe"), probe)


class Fleet:
    """Workers in a folder, and a way to give them work and to see what they did."""

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

    def promise(self, job: Job, count: int = 1, **arguments: Any) -> list[str]:
        async def act(runtime: Runtime) -> list[str]:
            async with runtime.database.unit_of_work() as session:
                return [await enqueue(session, job, **arguments) for _ in range(count)]

        return self._with_runtime(act)

    def look_up(self, job_id: str) -> JobResponse:
        async def act(runtime: Runtime) -> JobResponse:
            async with runtime.database.unit_of_work() as session:
                return await JobService(session).get(UUID(job_id))

        return self._with_runtime(act)

    def _with_runtime(self, act: Callable[[Runtime], Awaitable[T]]) -> T:
        async def work() -> T:
            runtime = Runtime.make(self.settings, MODULES)
            try:
                return await act(runtime)
            finally:
                await runtime.close()

        return asyncio.run(work())


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Any:
    with ExitStack() as stack:
        yield Fleet(tmp_path, settings, stack)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> float:
    """How long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it didn't come about in time"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_killed_worker_is_taken_over_within_15_seconds(fleet: Fleet) -> None:
    first = fleet.start()
    [job_id] = fleet.promise(sleep, seconds=60)
    wait_until(lambda: fleet.diary("began"))
    fleet.start()
    first.kill()

    took = wait_until(lambda: len(fleet.diary("began")) == 2)
    wait_until(lambda: fleet.diary("ended"))
    print(f"taken over after {took:.1f} s")
    assert took < 15
    assert fleet.diary("began") == [["began", job_id, "1"], ["began", job_id, "2"]]


def test_a_job_that_kills_its_worker_stops_at_its_attempts(fleet: Fleet) -> None:
    [poisoned] = fleet.promise(poison)
    for number in range(10):
        fleet.promise(innocent, number=number)
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
    [mended] = fleet.promise(fail, until=3)
    [broken] = fleet.promise(fail, until=99)

    wait_until(lambda: fleet.look_up(broken).status == "dead")
    wait_until(lambda: fleet.look_up(mended).status == "succeeded")
    assert Counter(n for _, n in fleet.diary("fail")) == {
        "1": 2,
        "2": 2,
        "3": 2,
        "4": 1,
    }
    assert fleet.look_up(broken).error == "RuntimeError: not before attempt 99"
    assert fleet.look_up(mended).error is None


def test_a_job_over_its_time_is_stopped(fleet: Fleet) -> None:
    fleet.start()
    [job_id] = fleet.promise(dawdle_job)

    wait_until(lambda: fleet.look_up(job_id).status == "dead")
    assert fleet.diary("dawdle") == [["dawdle", "1"], ["dawdle", "2"]]
    assert "TimeoutError" in str(fleet.look_up(job_id).error)


def test_waiting_for_the_next_attempt_holds_no_slot(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    fleet.promise(wait_long, count=2)
    fleet.promise(innocent, number=1)

    wait_until(lambda: fleet.diary("innocent"))
    assert fleet.diary("wait_long") == [["wait_long", "1"]] * 2


def test_a_stopped_worker_finishes_what_is_short_and_hands_back_the_rest(
    fleet: Fleet,
) -> None:
    first = fleet.start()
    [short] = fleet.promise(sleep, seconds=1.5)
    [long] = fleet.promise(sleep, seconds=8)
    wait_until(lambda: len(fleet.diary("began")) == 2)
    first.terminate()
    began = time.monotonic()
    assert first.wait() == 0
    assert time.monotonic() - began < 8
    assert fleet.diary("ended") == [["ended", short, "1"]]

    fleet.start()
    # At once: nobody waits for a heartbeat to grow old. And the attempt didn't count.
    assert wait_until(lambda: len(fleet.diary("began")) == 3) < 5
    assert fleet.diary("began")[2] == ["began", long, "1"]


def test_a_queue_keeps_to_its_concurrency_over_all_workers(fleet: Fleet) -> None:
    fleet.start()
    fleet.start()
    fleet.promise(squeeze, count=6)
    wait_until(lambda: len(fleet.diary("out")) == 6)

    inside = highest = 0
    for [word] in fleet.diary():
        inside += 1 if word == "in" else -1
        highest = max(highest, inside)
    assert highest == 2


def test_a_queue_keeps_to_its_rate(fleet: Fleet) -> None:
    fleet.start()
    fleet.promise(drip, count=5)
    wait_until(lambda: len(fleet.diary("drip")) == 5)

    times = sorted(float(at) for _, at in fleet.diary("drip"))
    assert times[2] - times[0] > 2
    assert times[4] - times[2] > 2


def test_a_worker_runs_only_the_queues_that_it_is_told(fleet: Fleet) -> None:
    fleet.start("--queue", "slow")
    fleet.promise(innocent, number=1)
    fleet.promise(sleep, seconds=0)

    wait_until(lambda: fleet.diary("ended"))
    assert fleet.diary("innocent") == []


def test_two_workers_run_each_moment_of_a_schedule_once(
    fleet: Fleet, sign_ups: int
) -> None:
    ticks = sign_ups // 10
    first = fleet.start("--ticking", "--hasty")
    fleet.start("--ticking", "--hasty")
    wait_until(lambda: len(fleet.diary("tick")) >= ticks, 60)
    first.kill()
    count = len(fleet.diary("tick"))
    wait_until(lambda: len(fleet.diary("tick")) >= count + ticks, 60)

    seen = Counter(_moment(id_) for _, id_ in fleet.diary("tick"))
    # Up to the last but a few, which may still be on their way.
    expected = range(min(seen), max(seen) - 2)
    wait_until(lambda: not set(expected) - _moments(fleet))
    doubled = [moment for moment, count in seen.items() if count > 1]
    print(f"{len(seen)} ticks of {len(expected)} seconds, doubled: {len(doubled)}")
    # Only what was running on the worker that was killed may run again.
    assert len(doubled) <= 1


def _moments(fleet: Fleet) -> set[int]:
    return {_moment(id_) for _, id_ in fleet.diary("tick")}


def _moment(job_id: str) -> int:
    """The second that a run of the schedule was for: its id is made of it."""
    now = int(time.time())
    made = {_tick_id(second): second for second in range(now - 300, now + 60)}
    return made[job_id]


@cache
def _tick_id(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    return key_to_id(job_program.tick, moment.isoformat())

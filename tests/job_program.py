"""`bedplate` with a module of jobs that tests watch; run as a program."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import bedplate.example
import bedplate.worker
from bedplate.cli import main
from bedplate.jobs import JobRun, Queue, exponential, job
from bedplate.module import Module

DIARY = Path("diary")
HASTY = exponential(timedelta(milliseconds=200))


def note(*words: object) -> None:
    """One line, whole, whoever else writes."""
    with DIARY.open("a") as diary:
        diary.write(" ".join(map(str, words)) + "\n")


@job(attempts=3, backoff=HASTY)
async def poison(run: JobRun) -> None:
    """Kills whoever runs it."""
    note("poison", run.attempt)
    os.kill(os.getpid(), signal.SIGKILL)


@job(backoff=HASTY)
async def innocent(run: JobRun, number: int) -> None:
    note("innocent", number)


@job(attempts=4, backoff=HASTY)
async def fail(run: JobRun, until: int) -> None:
    note("fail", run.attempt)
    if run.attempt < until:
        raise RuntimeError(f"not before attempt {until}")


@job(backoff=lambda _attempt: timedelta(minutes=5))
async def wait_long(run: JobRun) -> None:
    note("wait_long", run.attempt)
    raise RuntimeError("again in five minutes")


@job(timeout=timedelta(seconds=0.5), attempts=2, backoff=HASTY)
async def dawdle(run: JobRun) -> None:
    note("dawdle", run.attempt)
    await asyncio.sleep(60)


@job(queue="slow")
async def sleep(run: JobRun, seconds: float) -> None:
    note("began", run.id, run.attempt)
    await asyncio.sleep(seconds if run.attempt == 1 else 0)
    note("ended", run.id, run.attempt)


@job(queue=Queue("narrow", concurrency=2))
async def squeeze(run: JobRun) -> None:
    note("in")
    await asyncio.sleep(0.3)
    note("out")


@job(queue=Queue("slowly", rate=(2, timedelta(seconds=3))))
async def drip(run: JobRun) -> None:
    note("drip", asyncio.get_running_loop().time())


@job(cron="*/1 * * * * *")
async def tick(run: JobRun) -> None:
    note("tick", run.id)


JOBS = [poison, innocent, fail, wait_long, dawdle, sleep, squeeze, drip]
if "--ticking" in sys.argv:
    sys.argv.remove("--ticking")
    JOBS.append(tick)
if "--hasty" in sys.argv:
    sys.argv.remove("--hasty")
    bedplate.worker.BEAT = timedelta(seconds=0.3)  # type: ignore[misc]  # for tests
    bedplate.worker.DEAD_AFTER = timedelta(seconds=1.5)  # type: ignore[misc]

probe = Module(name="probe", jobs=JOBS)
bedplate.example.BUILT_IN = (*bedplate.example.BUILT_IN, probe)  # type: ignore[assignment]

if __name__ == "__main__":
    main()

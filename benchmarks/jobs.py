"""`python -m benchmarks.jobs`: measure durable jobs on both databases.

Measures how long a job waits, how many jobs run per second, how much `enqueue` adds to
a transaction, the CPU time of an idle worker, and the latency of reads while the same
process sends mail.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

import bedplate.example
from bedplate.cli import main as bedplate_main
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.jobs import JobRun, enqueue, job
from bedplate.module import Module
from bedplate.modules.emails.tasks import send_email
from bedplate.runtime import Runtime
from bedplate.testing.databases import TEST_KEY, migrate_url
from bedplate.testing.postgres import local_postgres
from bedplate.testing.servers import Server, serving, working
from bedplate.testing.smtp import smtp_server
from benchmarks.client import Request
from benchmarks.load import ROOT, Load, run
from benchmarks.servers import cpu_seconds

_SCHEDULER_SETTLES_SECONDS = 65  # the engine polls for schedules each second at first
_READER_ROUNDS = 5  # sending a fifth of the mails takes longer than the load
_DIARY = Path("diary")


@job
async def probe(_run: JobRun, enqueued_at: float) -> None:
    """Write how long it waited, and when it ran."""
    now = time.time()
    _write_line(f"{now - enqueued_at} {now}\n")


def _write_line(line: str) -> None:
    with _DIARY.open("a") as diary:
        diary.write(line)


MODULES = (*BUILT_IN, Module(name="probe", jobs=[probe]))
PROGRAM = (sys.executable, "-m", "benchmarks.jobs")


class Place:
    """A database, and a folder for the processes that use it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.settings = Settings.load(
            _env_file=None, database_url=url, data_dir=folder, secret_key=TEST_KEY
        )

    def diary(self) -> list[tuple[float, float]]:
        path = self.folder / _DIARY
        lines = path.read_text().splitlines() if path.exists() else []
        return [(float(a), float(b)) for a, b in (line.split() for line in lines)]

    def clear(self) -> None:
        (self.folder / _DIARY).unlink(missing_ok=True)

    def wait_for(self, count: int) -> None:
        while len(self.diary()) < count:
            time.sleep(0.05)

    @contextmanager
    def workers(self, count: int, *arguments: str) -> Iterator[list[int]]:
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    working(
                        self.folder,
                        *arguments,
                        program=PROGRAM,
                        database_url=self.url,
                    )
                )
                for _ in range(count)
            ]
            yield [worker.process.pid for worker in started]


async def _enqueue(place: Place, count: int, pause: float = 0) -> list[float]:
    """Enqueue jobs, each in its own transaction, and return the seconds of each."""
    runtime = Runtime.make(place.settings, MODULES)
    seconds: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        async with runtime.database.unit_of_work() as session:
            await enqueue(session, probe, enqueued_at=time.time())
        seconds.append(time.perf_counter() - began)
        # Random pauses, so that the jobs don't arrive in step with the worker's polls.
        await asyncio.sleep(random.uniform(0, 2 * pause))  # noqa: S311, not a secret
    await runtime.close()
    return seconds


def measure_wait(place: Place) -> None:
    place.clear()
    with place.workers(1):
        asyncio.run(_enqueue(place, 40, pause=0.3))
        place.wait_for(40)
    waits = sorted(wait for wait, _ in place.diary())
    print(f"  commit to start: median {median(waits):.2f} s, longest {waits[-1]:.2f} s")


def measure_rate(place: Place, count: int) -> None:
    for workers, concurrency in ((1, 20), (2, 20), (1, 100), (2, 100)):
        place.clear()
        asyncio.run(_enqueue(place, count))
        with place.workers(workers, "--concurrency", str(concurrency)):
            place.wait_for(count)
        ends = sorted(end for _, end in place.diary())
        rate = (count - 1) / (ends[-1] - ends[0])
        label = f"{workers} worker(s) of concurrency {concurrency}"
        print(f"  {label}: {rate:.0f} jobs a second")


def measure_enqueue(place: Place) -> None:
    """Measure what `enqueue` adds to a transaction that writes anyway."""

    async def work() -> tuple[float, float]:
        runtime = Runtime.make(place.settings, MODULES)
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(600):
            enqueues_another = number % 2 == 0
            began = time.perf_counter()
            async with runtime.database.unit_of_work() as session:
                await enqueue(session, probe, enqueued_at=0)
                if enqueues_another:
                    await enqueue(session, probe, enqueued_at=0)
            times[enqueues_another].append(time.perf_counter() - began)
        await runtime.close()
        return median(times[True]), median(times[False])

    with_another, without = asyncio.run(work())
    print(f"  enqueue adds {(with_another - without) * 1000:.2f} ms to a transaction")


def measure_idle(place: Place, seconds: float) -> None:
    with place.workers(1) as [pid]:
        time.sleep(_SCHEDULER_SETTLES_SECONDS)
        before = cpu_seconds(pid)
        time.sleep(seconds)
        used = (cpu_seconds(pid) - before) / seconds
    print(f"  idle worker: {used:.2%} of a core")


def measure_readers(place: Place, mails: int) -> None:
    """Measure the p99 of a signed-in GET, with and without mail from that process."""
    with (
        smtp_server() as inbox,
        serving(
            place.folder,
            database_url=place.url,
            mail_url=inbox.url,
            embedded_worker=True,
        ) as server,
    ):
        load = Load(
            port=urlsplit(server.url).port or 0,
            requests=[_signed_in_get(server)],
            seconds=4,
            connections=1,
        )
        idle: list[float] = []
        busy: list[float] = []
        for _ in range(_READER_ROUNDS):
            idle.append(run(load).p99_ms)
            goal = len(inbox.mails) + mails // _READER_ROUNDS
            asyncio.run(_enqueue_mails(place, mails // _READER_ROUNDS))
            busy.append(run(load).p99_ms)
            while len(inbox.mails) < goal:
                time.sleep(0.05)
        ratio = median(b / i for b, i in zip(busy, idle, strict=True))
    print(
        f"  readers: p99 {median(idle):.2f} ms idle, {median(busy):.2f} ms with "
        f"{mails} mails sent, {ratio:.1f} times (medians of {_READER_ROUNDS} rounds)"
    )


def _signed_in_get(server: Server) -> bytes:
    """Return a request for the caller's own account."""
    email, password = "reader@example.com", "Passw0rd-of-benchmarks"
    body = {"email": email, "name": "Reader", "password": password}
    with httpx.Client(base_url=server.api, timeout=30) as client:
        client.post("/users", json=body).raise_for_status()
        form = {"username": email, "password": password}
        token = client.post("/auth/token", data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    return Request("GET", "/api/v1/users/me", bearer).to_bytes()


async def _enqueue_mails(place: Place, count: int) -> None:
    runtime = Runtime.make(place.settings, MODULES)
    async with runtime.database.unit_of_work() as session:
        for number in range(count):
            await enqueue(
                session,
                send_email,
                template="welcome",
                to=f"user{number}@example.com",
                context={"name": f"User {number}"},
            )
    await runtime.close()


@contextmanager
def _places() -> Iterator[dict[str, Place]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        local_postgres(fsync="on", synchronous_commit="on") as postgres,
    ):
        urls = {"sqlite": f"sqlite:///{folder}/jobs.db", "postgresql": postgres}
        places: dict[str, Place] = {}
        for kind, url in urls.items():
            data_dir = Path(folder) / kind
            data_dir.mkdir()
            migrate_url(url, data_dir, MODULES)
            places[kind] = Place(url, data_dir)
        yield places


def measure(
    jobs: Annotated[int, typer.Option(help="Jobs for each rate.")] = 1000,
    mails: Annotated[int, typer.Option()] = 1000,
    idle_seconds: Annotated[float, typer.Option()] = 30,
    only: Annotated[
        list[str] | None,
        typer.Option(help="wait, rate, enqueue, idle or readers. Repeatable."),
    ] = None,
) -> None:
    """Measure on both databases and print the figures."""
    os.environ["PYTHONPATH"] = str(ROOT)  # for workers, which run in other folders
    with _places() as places:
        for kind, place in places.items():
            print(kind, flush=True)
            measures = {
                "wait": partial(measure_wait, place),
                "rate": partial(measure_rate, place, jobs),
                "enqueue": partial(measure_enqueue, place),
                "idle": partial(measure_idle, place, idle_seconds),
                "readers": partial(measure_readers, place, mails),
            }
            for name in only or measures:
                measures[name]()


if __name__ == "__main__":
    if "worker" in sys.argv[1:2]:
        bedplate.example.BUILT_IN = MODULES  # type: ignore[assignment]  # its jobs, too
        bedplate_main()
    else:
        typer.run(measure)

"""`python -m benchmarks.jobs`: what durable jobs cost, on both databases.

How long a job waits, how many run in a second, what promising one adds to a request,
what a worker costs that has nothing to do, and how long readers wait while mail goes
out of the same process.
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

import bedplate.modules
from bedplate.cli import main as bedplate_main
from bedplate.config import Settings
from bedplate.example import MODULES as EXAMPLE
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

_SCHEDULER_SETTLES_SECONDS = 65  # the engine looks for schedules each second at first
_READER_ROUNDS = 5  # a fifth of the mails takes longer than the load
_DIARY = Path("diary")


@job
async def probe(_run: JobRun, promised_at: float) -> None:
    """Note how long it waited."""
    now = time.time()
    _note(f"{now - promised_at} {now}\n")


def _note(line: str) -> None:
    with _DIARY.open("a") as diary:
        diary.write(line)


MODULES = (*EXAMPLE, Module(name="probe", jobs=[probe]))
PROGRAM = (sys.executable, "-m", "benchmarks.jobs")


class Place:
    """A database, and a folder for what runs on it."""

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


async def _promise(place: Place, count: int, pause: float = 0) -> list[float]:
    """Promise jobs, a transaction each; how long each took, in seconds."""
    runtime = Runtime.make(place.settings, MODULES)
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        async with runtime.database.unit_of_work() as session:
            await enqueue(session, probe, promised_at=time.time())
        took.append(time.perf_counter() - began)
        await asyncio.sleep(random.uniform(0, 2 * pause))  # noqa: S311, no secret
    await runtime.close()
    return took


def measure_wait(place: Place) -> None:
    place.clear()
    with place.workers(1):
        asyncio.run(_promise(place, 40, pause=0.3))
        place.wait_for(40)
    waits = sorted(wait for wait, _ in place.diary())
    print(f"  commit to start: median {median(waits):.2f} s, longest {waits[-1]:.2f} s")


def measure_rate(place: Place, count: int) -> None:
    for workers, concurrency in ((1, 20), (2, 20), (1, 100), (2, 100)):
        place.clear()
        asyncio.run(_promise(place, count))
        with place.workers(workers, "--concurrency", str(concurrency)):
            place.wait_for(count)
        ends = sorted(end for _, end in place.diary())
        rate = (count - 1) / (ends[-1] - ends[0])
        told = f"{workers} worker(s) of concurrency {concurrency}"
        print(f"  {told}: {rate:.0f} jobs a second")


def measure_promise(place: Place) -> None:
    """In a transaction that writes anyway, as a sign-up does."""

    async def work() -> tuple[float, float]:
        runtime = Runtime.make(place.settings, MODULES)
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(600):
            promising = number % 2 == 0
            began = time.perf_counter()
            async with runtime.database.unit_of_work() as session:
                await enqueue(session, probe, promised_at=0)
                if promising:
                    await enqueue(session, probe, promised_at=0)
            times[promising].append(time.perf_counter() - began)
        await runtime.close()
        return median(times[True]), median(times[False])

    with_it, without = asyncio.run(work())
    print(f"  enqueue adds {(with_it - without) * 1000:.2f} ms to a transaction")


def measure_idle(place: Place, seconds: float) -> None:
    with place.workers(1) as [pid]:
        time.sleep(_SCHEDULER_SETTLES_SECONDS)
        before = cpu_seconds(pid)
        time.sleep(seconds)
        used = (cpu_seconds(pid) - before) / seconds
    print(f"  idle worker: {used:.2%} of a core")


def measure_readers(place: Place, mails: int) -> None:
    """The p99 of a signed-in GET while mail goes out of that process, and when not."""
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
            asyncio.run(_promise_mails(place, mails // _READER_ROUNDS))
            busy.append(run(load).p99_ms)
            while len(inbox.mails) < goal:
                time.sleep(0.05)
        ratio = median(b / i for b, i in zip(busy, idle, strict=True))
    print(
        f"  readers: p99 {median(idle):.2f} ms idle, {median(busy):.2f} ms while "
        f"{mails} mails go out, {ratio:.1f} times (medians of {_READER_ROUNDS} rounds)"
    )


def _signed_in_get(server: Server) -> bytes:
    """A request for the caller's own account."""
    email, password = "reader@example.com", "Passw0rd-of-benchmarks"
    body = {"email": email, "name": "Reader", "password": password}
    with httpx.Client(base_url=server.api, timeout=30) as client:
        client.post("/users", json=body).raise_for_status()
        form = {"username": email, "password": password}
        token = client.post("/auth/token", data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    return Request("GET", "/api/v1/users/me", bearer).to_bytes()


async def _promise_mails(place: Place, count: int) -> None:
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
            own = Path(folder) / kind
            own.mkdir()
            migrate_url(url, own, MODULES)
            places[kind] = Place(url, own)
        yield places


def measure(
    jobs: Annotated[int, typer.Option(help="Of each rate.")] = 1000,
    mails: Annotated[int, typer.Option()] = 1000,
    idle_seconds: Annotated[float, typer.Option()] = 30,
    only: Annotated[
        list[str] | None,
        typer.Option(help="wait, rate, promise, idle or readers; repeatable."),
    ] = None,
) -> None:
    """Measure and report."""
    os.environ["PYTHONPATH"] = str(ROOT)  # the workers run elsewhere
    with _places() as places:
        for kind, place in places.items():
            print(kind, flush=True)
            measures = {
                "wait": partial(measure_wait, place),
                "rate": partial(measure_rate, place, jobs),
                "promise": partial(measure_promise, place),
                "idle": partial(measure_idle, place, idle_seconds),
                "readers": partial(measure_readers, place, mails),
            }
            for name in only or measures:
                measures[name]()


if __name__ == "__main__":
    if "worker" in sys.argv[1:2]:
        bedplate.example.MODULES = MODULES  # type: ignore[assignment]  # for the worker
        bedplate_main()
    else:
        typer.run(measure)

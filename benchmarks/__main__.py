"""`python -m benchmarks`: measure the service against a minimal application."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import asyncpg
import typer

from bedplate.testing.postgres import local_postgres
from benchmarks.client import ask
from benchmarks.load import Load, LoadResult, run
from benchmarks.scenarios import NAMES, Scenario, make_scenarios
from benchmarks.seed import seed
from benchmarks.servers import Server, cpu_seconds, environment, limit, service

_WARM_UP_SECONDS = 0.5
# They differ in each response.
_VOLATILE = ("access_token", "refresh_token", "id", "created_at", "updated_at")
# The settings of a production server, which `local_postgres` turns off for speed.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class Database(StrEnum):
    postgresql = "postgresql"
    sqlite = "sqlite"
    both = "both"


class Bench(NamedTuple):
    """Two servers on one database."""

    service: Server
    limit: Server
    scenarios: list[Scenario]
    database_pid: int | None
    """PostgreSQL's process; None for SQLite, which runs inside the servers."""


class Sample(NamedTuple):
    """One server's result for one scenario in one round."""

    outcome: LoadResult
    cpu_us: float
    database_us: float

    @property
    def rate(self) -> float:
        return self.outcome.requests / self.outcome.seconds


def main(
    database: Annotated[Database, typer.Option()] = Database.both,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Seconds of each load.")] = 3.0,
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(NAMES)}. Repeatable.")
    ] = None,
    users: Annotated[int, typer.Option(min=60)] = 100_000,
    posts: Annotated[int, typer.Option(min=60)] = 5_000,
    connections: Annotated[int, typer.Option(min=1)] = 16,
    quick: Annotated[
        bool, typer.Option(help="One short round: rough figures.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Compare responses only.")] = False,
) -> None:
    """Measure the service and the limit applications, and print the figures."""
    if unknown := set(only or ()) - set(NAMES):
        raise typer.BadParameter(f"unknown scenarios: {', '.join(unknown)}")
    rounds, seconds = (1, 1.0) if quick else (rounds, seconds)
    both = (Database.postgresql, Database.sqlite)
    for kind in both if database is Database.both else (database,):
        with _bench(kind, users, posts) as bench:
            scenarios = [s for s in bench.scenarios if not only or s.name in only]
            _compare_responses(bench, scenarios)
            if not check:
                samples = _measure(bench, scenarios, rounds, seconds, connections)
                _print_table(kind, bench, scenarios, samples)


@contextmanager
def _bench(kind: Database, users: int, posts: int) -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="bedplate-benchmark-")
        directory = Path(stack.enter_context(folder))
        is_sqlite = kind is Database.sqlite
        url = stack.enter_context(
            nullcontext(f"sqlite:///{directory / 'benchmark.db'}")
            if is_sqlite
            else local_postgres(**_DURABLE)
        )
        _log(f"{kind}: seeding {users:,} users and {posts:,} posts")
        accounts = seed(url, users, posts, directory)
        variables = environment(url, directory)
        served = stack.enter_context(service(variables, directory))
        bare = stack.enter_context(limit(kind, variables, directory))
        pid = None if is_sqlite else asyncio.run(_postmaster(url))
        scenarios = make_scenarios(served.port, accounts, posts)
        yield Bench(served, bare, scenarios, pid)


async def _postmaster(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        lines: str = await connection.fetchval("SELECT pg_read_file('postmaster.pid')")
    finally:
        await connection.close()
    return int(lines.partition("\n")[0])


def _compare_responses(bench: Bench, scenarios: Sequence[Scenario]) -> None:
    """Exit with 1 if the servers' responses differ: then their costs can't compare."""
    for scenario in scenarios:
        served, bare = (
            _comparable(ask(server.port, scenario.requests[0]))
            for server in (bench.service, bench.limit)
        )
        if served != bare:
            _log(f"{scenario.name}: the answers differ:\n{served}\n{bare}")
            raise typer.Exit(1)
        _log(f"{scenario.name}: equal answers")


def _comparable(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in _VOLATILE}


Samples = dict[tuple[str, str], list[Sample]]


def _measure(
    bench: Bench,
    scenarios: Sequence[Scenario],
    rounds: int,
    seconds: float,
    connections: int,
) -> Samples:
    """Measure both servers in turn, so that a slow minute affects both."""
    samples: Samples = {}
    for number in range(rounds):
        for scenario in scenarios:
            for name in ("service", "limit") if number % 2 else ("limit", "service"):
                server: Server = getattr(bench, name)
                requests = [request.to_bytes() for request in scenario.requests]
                load = Load(server.port, requests, seconds, connections)
                if number == 0:
                    run(Load(server.port, requests, _WARM_UP_SECONDS, connections))
                sample = _sample(load, server.pid, bench.database_pid)
                samples.setdefault((scenario.name, name), []).append(sample)
                _log(f"{number + 1}/{rounds} {scenario.name} {name} {_brief(sample)}")
    return samples


def _sample(load: Load, pid: int, database_pid: int | None) -> Sample:
    before = _cpu_used(pid, database_pid)
    outcome = run(load)
    after = _cpu_used(pid, database_pid)
    cpu, database = (
        (b - a) * 1e6 / outcome.requests for a, b in zip(before, after, strict=True)
    )
    return Sample(outcome, cpu, database)


def _cpu_used(pid: int, database_pid: int | None) -> tuple[float, float]:
    return cpu_seconds(pid), cpu_seconds(database_pid) if database_pid else 0.0


def _brief(sample: Sample) -> str:
    return f"{sample.cpu_us:,.0f} µs, {sample.rate:,.0f} requests/s"


def _print_table(
    kind: Database, bench: Bench, scenarios: Sequence[Scenario], samples: Samples
) -> None:
    """Print the medians as a Markdown table, each as `service / limit`."""
    heads = ["CPU µs a request", "ratio", "requests/s", "p50 ms", "p99 ms"]
    if bench.database_pid:
        heads.append("PostgreSQL's CPU µs")
    print(f"\n| {kind}: service / limit | {' | '.join(heads)} |")
    print(f"| --- |{' ---: |' * len(heads)}")
    for scenario in scenarios:
        served, bare = (samples[scenario.name, name] for name in ("service", "limit"))
        cells = _cells(served, bare)[: len(heads)]
        print(f"| {scenario.title} | {' | '.join(cells)} |")


def _cells(served: list[Sample], bare: list[Sample]) -> list[str]:
    ratios = [s.cpu_us / b.cpu_us for s, b in zip(served, bare, strict=True)]

    def pair(figure: Any, digits: int = 0) -> str:
        values = (median(map(figure, served)), median(map(figure, bare)))
        return " / ".join(f"{value:,.{digits}f}" for value in values)

    return [
        pair(lambda sample: sample.cpu_us),
        f"{median(ratios):.2f}",
        pair(lambda sample: sample.rate),
        pair(lambda sample: sample.outcome.p50_ms, 1),
        pair(lambda sample: sample.outcome.p99_ms, 1),
        pair(lambda sample: sample.database_us),
    ]


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)

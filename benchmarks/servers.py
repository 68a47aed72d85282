"""Starts the two servers and measures their CPU time. Linux only."""

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.client import Request, ask
from benchmarks.load import ROOT

SECRET_KEY = "a key for benchmarks, at least 32 bytes long"
_START_SECONDS = 30
_STOP_SECONDS = 15
_libc = ctypes.CDLL(None)


class Server(NamedTuple):
    port: int
    pid: int


def environment(database_url: str, data_dir: Path) -> dict[str, str]:
    """Return the environment of both servers, without the developer's own settings."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BEDPLATE_")}
    search_path = inherited.get("PYTHONPATH")
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [search_path])]),
        "BEDPLATE_ENVIRONMENT": "production",
        "BEDPLATE_DATABASE_URL": database_url,
        "BEDPLATE_DATA_DIR": str(data_dir),
        "BEDPLATE_SECRET_KEY": SECRET_KEY,
        "BEDPLATE_ACCESS_TOKEN_MINUTES": "1440",  # longer than any run
    }


@contextmanager
def service(variables: dict[str, str], directory: Path) -> Iterator[Server]:
    """Run `bedplate serve` with one worker and its log in a file."""
    command = ["bedplate", "serve", "--port"]
    with _serving("service", command, variables, directory) as server:
        yield server


@contextmanager
def limit(
    database: str, variables: dict[str, str], directory: Path
) -> Iterator[Server]:
    """Run a database's limit app with uvicorn."""
    app = "limit_sqlite" if database == "sqlite" else "limit_postgres"
    command = ["uvicorn", f"benchmarks.{app}:app", "--no-access-log", "--port"]
    with _serving("limit", command, variables, directory) as server:
        yield server


@contextmanager
def _serving(
    name: str, command: list[str], variables: dict[str, str], directory: Path
) -> Iterator[Server]:
    port = _free_port()
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, str(port)],
            cwd=directory,  # it has no `.env`
            env=variables,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_live(port, process, log)
        yield Server(port, process.pid)
    finally:
        _stop(process)


def _wait_until_live(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_live(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server didn't start:\n{log.read_text()}")
        time.sleep(0.05)


def _is_live(port: int) -> bool:
    try:
        return bool(ask(port, Request("GET", "/health/live")))
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, ended ones included."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (
        _own_seconds(pid)
        + _ended_seconds(pid)
        + sum(cpu_seconds(int(child)) for child in children)
    )


def _own_seconds(pid: int) -> float:
    # Exact to the nanosecond; /proc counts in ticks of 10 ms.
    clock = ctypes.c_int()
    if error := _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def _ended_seconds(pid: int) -> float:
    """Return the CPU time of ended children, such as PostgreSQL's parallel workers."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

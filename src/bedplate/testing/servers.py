"""Runs `bedplate serve` and other commands as processes, for tests."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx

from bedplate.config import PREFIX

PROGRAM = (str(Path(sys.executable).with_name("bedplate")),)
START_SECONDS = 60
STOP_SECONDS = 20


class ServerError(Exception):
    """The server didn't start. The message is its output."""


def run_command(
    folder: Path,
    *arguments: str,
    program: Sequence[str] = PROGRAM,
    stdin: str = "",
    **settings: Any,
) -> subprocess.CompletedProcess[str]:
    """Run `bedplate …` in a folder, and wait until it ends.

    It gets these settings instead of the `BEDPLATE_…` variables of the environment:
    `run_command(folder, "migrate", database_url=url)`.
    """
    return subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env=_environment(settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


@contextlib.contextmanager
def serving(
    folder: Path,
    *arguments: str,
    program: Sequence[str] = PROGRAM,
    **settings: Any,
) -> Iterator["Server"]:
    """Run `bedplate serve` in a folder on a free port, and stop it afterwards.

    Raises:
        ServerError: it ended, or didn't get ready in time.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [*program, "serve", "--port", "0", *arguments],
            cwd=folder,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # so that `kill` reaches the workers too
        )
        server = Server(process, out, err)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def working(
    folder: Path,
    *arguments: str,
    program: Sequence[str] = PROGRAM,
    **settings: Any,
) -> Iterator["Worker"]:
    """Run `bedplate worker` in a folder, and stop it afterwards.

    Raises:
        ServerError: it ended, or didn't get ready in time.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [*program, "worker", *arguments],
            cwd=folder,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        worker = Worker(process, out, err)
        try:
            worker.wait_until_ready()
            yield worker
        finally:
            worker.kill()


class Process:
    """A running command."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: IO[str], err: IO[str]
    ) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def output(self) -> str:
        """The standard output so far."""
        return _text(self._out)

    @property
    def errors(self) -> str:
        """The standard error so far, which is the log."""
        return _text(self._err)

    def wait_until_ready(self) -> None:
        """Wait until the process is ready.

        Raises:
            ServerError: it ended, or didn't get ready in time.
        """
        self._wait_until(self._is_ready)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(self.output + self.errors)
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def terminate(self) -> None:
        """Send SIGTERM, as a process manager does."""
        self.process.terminate()

    def wait(self) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it doesn't end.
        """
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kill the process and its workers, like a power failure."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


class Server(Process):
    """A running `bedplate serve`."""

    url = ""

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"

    def wait_for_workers(self, count: int) -> None:
        """Wait for a number of processes. The server answers when the first is ready.

        Raises:
            ServerError: they don't start.
        """
        self._wait_until(lambda: self.errors.count("startup complete") >= count)

    def _is_ready(self) -> bool:
        match = re.search(r"(http://[^\s/]+)/(?:api/v1|admin/)", self.output)
        if match is not None:
            self.url = match[1]
        try:
            return bool(self.url) and _answers(f"{self.url}/health/ready")
        except httpx.TransportError:
            return False


class Worker(Process):
    """A running `bedplate worker`."""

    def _is_ready(self) -> bool:
        return "running jobs" in self.output


def _answers(url: str) -> bool:
    return httpx.get(url, timeout=5).status_code == httpx.codes.OK


def _text(file: IO[str]) -> str:
    return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")


def _environment(settings: dict[str, Any]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    variables = {f"{PREFIX}{name.upper()}": str(v) for name, v in settings.items()}
    return {**inherited, **variables, "NO_COLOR": "1"}

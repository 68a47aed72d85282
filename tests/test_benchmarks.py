import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

ROOT = Path(__file__).parents[1]


def run_module(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a module and return its exit code and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_the_limit_app_and_the_service_return_the_same_in_every_scenario(
    database: str,
) -> None:
    code, log = run_module(
        "benchmarks",
        "--check",
        "--users",
        "100",
        "--posts",
        "100",
        "--database",
        database,
    )

    assert code == 0, log
    assert log.count("equal answers") == 11


class Handler(BaseHTTPRequestHandler):
    """Responds with 200 at `/ok` and with 401 elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ok" else 401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("path", "accepted"), [("/ok", True), ("/refused", False)])
def test_a_load_fails_unless_every_response_is_200(
    port: int, path: str, accepted: bool
) -> None:
    load = {
        "port": port,
        "requests": [f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()],
        "seconds": 60,
        "connections": 2,
        "max_requests": 20,
    }

    code, log = run_module("benchmarks.load", stdin=msgspec.msgpack.encode(load))

    assert (code == 0) is accepted, log
    assert ("UnexpectedAnswer" in log) is not accepted

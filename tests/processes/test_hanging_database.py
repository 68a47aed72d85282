"""PostgreSQL that hangs: worse than being down, because connections get no error."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bedplate.testing.postgres import LocalPostgres, local_server
from bedplate.testing.proxy import TcpProxy
from bedplate.testing.servers import Server, run_command, serving

PASSWORD = "Passw0rd-of-tests"
NEWCOMER = {"email": "first@example.com", "name": "First", "password": PASSWORD}
TIMEOUTS: dict[str, Any] = {
    "database_statement_timeout": 2,
    "database_connect_timeout": 2,
}
# The statement's timeout, plus the two seconds that closing may take.
LONGEST_RESPONSE = 8
LONGEST_READY = 2.5
RECOVERY_SECONDS = 20


@pytest.fixture
def postgres() -> Iterator[LocalPostgres]:
    with local_server() as server:
        yield server


def processes_of(server: LocalPostgres) -> list[int]:
    """Return the ids of the server's process and its children."""
    assert server._process is not None
    main = server._process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return [main, *map(int, children)]


@contextmanager
def stopped(server: LocalPostgres, _proxy: TcpProxy) -> Iterator[None]:
    """Stop every process of the server. Its sockets stay open."""
    pids = processes_of(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def silent(_server: LocalPostgres, proxy: TcpProxy) -> Iterator[None]:
    """Drop all packets."""
    proxy.stall()
    try:
        yield
    finally:
        proxy.cut()  # the peers of half-open connections get an error
        proxy.resume()


def timed(request: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return request(), time.monotonic() - began


@pytest.mark.parametrize("fault", [stopped, silent])
def test_the_server_answers_503_in_time_and_recovers(
    postgres: LocalPostgres, tmp_path: Path, fault: Any
) -> None:
    port = urlsplit(postgres.url).port
    assert port is not None
    with TcpProxy(port) as proxy:
        url = postgres.url.replace(f":{port}/", f":{proxy.port}/")
        settings: dict[str, Any] = {"database_url": url, **TIMEOUTS}
        run_command(tmp_path, "migrate", **settings)
        with (
            serving(tmp_path, **settings) as server,
            httpx.Client(base_url=server.api, timeout=60) as client,
        ):
            client.post("/users", json=NEWCOMER).raise_for_status()
            form = {"username": NEWCOMER["email"], "password": PASSWORD}
            token = client.post("/auth/token", data=form).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            assert client.get("/users/me").status_code == 200

            with fault(postgres, proxy):
                assert_unavailable_in_time(server, client)
            assert_recovers(client)

            server.terminate()
            assert server.wait() == 0


def assert_unavailable_in_time(server: Server, client: httpx.Client) -> None:
    latecomer = {**NEWCOMER, "email": "second@example.com"}
    form = {"username": NEWCOMER["email"], "password": PASSWORD}
    for request in (
        lambda: client.get("/users/me"),
        lambda: client.post("/posts", json={"title": "T", "content": "C"}),
        lambda: client.post("/users", json=latecomer),
        lambda: client.post("/auth/token", data=form),
        lambda: client.get("/users/me"),
    ):
        response, seconds = timed(request)
        assert response.status_code == 503, response.text
        assert int(response.headers["retry-after"]) > 0
        assert seconds < LONGEST_RESPONSE
    ready, seconds = timed(lambda: httpx.get(f"{server.url}/health/ready", timeout=60))
    assert ready.status_code == 503
    assert seconds < LONGEST_READY
    live, seconds = timed(lambda: httpx.get(f"{server.url}/health/live", timeout=60))
    assert live.status_code == 200


def assert_recovers(client: httpx.Client) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (response := client.get("/users/me")).status_code != 200:
        assert response.status_code == 503
        assert time.monotonic() < deadline, "it does not recover"
        time.sleep(0.1)

"""PostgreSQL stops while a server is running, and returns."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bedplate.testing.postgres import LocalPostgres, local_server
from bedplate.testing.servers import run_command, serving

PASSWORD = "Passw0rd-of-tests"
NEWCOMER = {"email": "first@example.com", "name": "First", "password": PASSWORD}
LATECOMER = {**NEWCOMER, "email": "second@example.com"}
RECOVERY_SECONDS = 20
# The test kit turns this off, and then a kill can lose acknowledged rows.
DURABLE = {"synchronous_commit": "on"}


@pytest.fixture
def postgres() -> Iterator[LocalPostgres]:
    with local_server(**DURABLE) as server:
        yield server


def sign_in(client: httpx.Client) -> None:
    client.post("/users", json=NEWCOMER)
    form = {"username": NEWCOMER["email"], "password": PASSWORD}
    token = client.post("/auth/token", data=form).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


def assert_unavailable(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    error = response.json()["error"]
    assert error["code"] == "SERVICE_UNAVAILABLE"
    assert error["request_id"] == response.headers["x-request-id"]
    assert error.keys() == {"code", "message", "details", "request_id"}


def test_the_server_answers_503_while_the_database_is_down_and_recovers(
    postgres: LocalPostgres, tmp_path: Path
) -> None:
    run_command(tmp_path, "migrate", database_url=postgres.url)
    with (
        serving(tmp_path, database_url=postgres.url) as server,
        httpx.Client(base_url=server.api, timeout=30) as client,
    ):
        sign_in(client)
        assert client.get("/users/me").status_code == 200

        postgres.kill()
        assert_unavailable(client.get("/users/me"))
        assert_unavailable(client.post("/users", json=LATECOMER))
        assert_unavailable(client.get("/users/me"))
        ready = httpx.get(f"{server.url}/health/ready", timeout=30)
        live = httpx.get(f"{server.url}/health/live", timeout=30)
        assert (ready.status_code, live.status_code) == (503, 200)
        assert ready.json()["checks"]["database"] == "failed"

        postgres.start(**DURABLE)
        assert_recovers(client)
        assert client.post("/users", json=LATECOMER).status_code == 201
        assert server.process.poll() is None


def assert_recovers(client: httpx.Client) -> None:
    """Wait until requests succeed. Until then the only error is 503."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (response := client.get("/users/me")).status_code != 200:
        assert_unavailable(response)
        assert time.monotonic() < deadline, "it doesn't recover"
        time.sleep(0.1)

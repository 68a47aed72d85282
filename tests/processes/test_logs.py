"""Logs of `bedplate serve` and `bedplate worker` in a project."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedplate.testing.databases import TEST_KEY
from bedplate.testing.servers import Process, Server, run_command, serving, working

PASSWORD = "Passw0rd-of-tests"
PROJECT = """
from datetime import timedelta

from bedplate import Module, create_app
from bedplate.jobs import JobRun, exponential, job
from bedplate.example import BUILT_IN


@job(attempts=2, backoff=exponential(timedelta(milliseconds=100)))
async def send_invoice(run: JobRun, email: str) -> None:
    raise ZeroDivisionError("no line has a price")


shop = Module(name="shop", jobs=[send_invoice], on_sign_up=[send_invoice])
app = create_app(modules=[*BUILT_IN, shop])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "planted_shop.py").write_text(PROJECT)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.bedplate]\napp = "planted_shop:app"\n'
    )
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def production(database_url: str, port: int) -> dict[str, Any]:
    """Return settings of production, because only production logs JSON."""
    return {
        "database_url": database_url,
        "environment": "production",
        "secret_key": TEST_KEY,
        "public_url": f"http://127.0.0.1:{port}",
        "allowed_hosts": "127.0.0.1",
    }


def log_line(process: Process, event: str, **fields: Any) -> dict[str, Any]:
    """Wait for a log line with these fields. Every line must be JSON."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in map(json.loads, process.errors.splitlines()):
            if {"event": event, **fields}.items() <= line.items():
                return dict(line)
        time.sleep(0.05)
    raise AssertionError(process.errors)


@pytest.fixture
def server(project: Path, production: dict[str, Any], port: int) -> Iterator[Server]:
    with serving(project, "--port", str(port), **production) as server:
        yield server


@pytest.fixture
def token(server: Server, project: Path, production: dict[str, Any]) -> str:
    form = {"username": "bob@example.com", "password": PASSWORD}
    sign_up = {"email": form["username"], "name": "Bob", "password": PASSWORD}
    httpx.post(f"{server.api}/users", json=sign_up).raise_for_status()
    response = httpx.post(f"{server.api}/auth/token", data=form)
    return str(response.json()["access_token"])


def test_a_rejected_request_is_logged_with_code_and_caller_on_both_stacks(
    server: Server, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    user_id = httpx.get(f"{server.api}/users/me", headers=headers).json()["id"]

    for prefix in ("/api/v1", "/django/api/v1"):
        url = f"{server.url}{prefix}/users"
        assert httpx.get(url, timeout=30).status_code == 401
        assert httpx.get(url, headers=headers, timeout=30).status_code == 403

        stranger = log_line(server, "request", path=f"{prefix}/users", status=401)
        assert stranger["code"] == "UNAUTHENTICATED"
        assert "user_id" not in stranger
        user = log_line(server, "request", path=f"{prefix}/users", status=403)
        assert (user["code"], user["user_id"]) == ("FORBIDDEN", user_id)

    answered = log_line(server, "request", path="/api/v1/users/me", status=200)
    assert answered["user_id"] == user_id
    assert "code" not in answered
    assert token not in server.errors


def test_an_error_on_an_admin_page_is_logged_with_its_code(server: Server) -> None:
    with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
        page = browser.get("/admin/login/")
        form = {
            "username": "nobody@example.com",
            "password": PASSWORD,
            "csrfmiddlewaretoken": page.text.split('csrfmiddlewaretoken" value="')[
                1
            ].partition('"')[0],
        }
        browser.post("/admin/login/", data=form, headers={"Referer": server.url})

    line = log_line(server, "request", method="POST", path="/admin/login/")
    assert line["code"] == "INVALID_CREDENTIALS"


def test_the_log_level_applies_in_a_project(
    project: Path, production: dict[str, Any], port: int
) -> None:
    production |= {"log_level": "warning"}
    with serving(project, "--port", str(port), **production) as server:
        httpx.get(f"{server.api}/users/me")
        errors = server.errors

    assert '"request"' not in errors


def test_the_traceback_of_a_failed_job_is_logged_and_stored(
    project: Path, production: dict[str, Any], port: int
) -> None:
    production |= {"embedded_worker": "false"}
    with serving(project, "--port", str(port), **production) as server:
        sign_up = {"email": "bob@example.com", "name": "Bob", "password": PASSWORD}
        httpx.post(f"{server.api}/users", json=sign_up).raise_for_status()
    with working(project, **production) as worker:
        failed = log_line(worker, "job failed", job="send_invoice", attempt=1)
        dead = log_line(worker, "job dead", job="send_invoice", attempt=2)

    for line in (failed, dead):
        assert "in send_invoice" in line["exception"]
        assert "ZeroDivisionError: no line has a price" in line["exception"]
    output = run_command(project, "jobs", "show", dead["id"], **production).stdout
    assert "ZeroDivisionError: no line has a price" in output
    assert 'raise ZeroDivisionError("no line has a price")' in output

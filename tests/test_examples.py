"""The examples run, as their pages say."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bedplate.testing.databases import TEST_KEY

EXAMPLES = Path(__file__).parents[1] / "examples"
PASSWORD = "Passw0rd-of-tests"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The bookmarks' server, on an empty folder."""
    with (tmp_path / "log").open("w+b") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "--port", "0"),
                *("--app-dir", str(EXAMPLES / "bookmarks"), "app:app"),
            ],
            cwd=tmp_path,
            env={"BEDPLATE_SECRET_KEY": TEST_KEY, "BEDPLATE_LOG_LEVEL": "info"},
            stdout=log,
            stderr=log,
        )
        try:
            yield _address(process, tmp_path / "log")
        finally:
            process.terminate()
            assert process.wait(20) in (0, -15)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 30
    while not (found := re.search(r"running on (http://[\d.:]+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return found[1]


def test_an_existing_application_takes_up_bedplate(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        account = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
        assert client.post("/api/v1/users", json=account).status_code == 201
        form = {"username": account["email"], "password": PASSWORD}
        token = client.post("/api/v1/auth/token", data=form).json()["access_token"]
        stranger = client.get("/hello")
        client.headers["Authorization"] = f"Bearer {token}"

        hello = client.get("/hello")
        kept = {"url": "https://example.com/a", "title": "A"}
        first = client.post("/api/v1/bookmarks", json=kept)
        again = client.post("/api/v1/bookmarks", json=kept)
        listed = client.get("/api/v1/bookmarks").json()
        gone = client.delete(first.headers["Location"])
        absent = client.get("/api/v1/posts")
        document = client.get("/openapi.json").json()
        refused = client.put("/api/v1/bookmarks")

    assert stranger.json()["error"]["code"] == "UNAUTHENTICATED"
    assert hello.json() == {"message": "Hello, Ada"}
    assert (first.status_code, gone.status_code) == (201, 204)
    assert again.json()["error"]["code"] == "ALREADY_KEPT"
    assert [item["title"] for item in listed["items"]] == ["A"]
    assert absent.status_code == 404
    assert {"/hello", "/api/v1/bookmarks"} <= document["paths"].keys()
    assert refused.headers["Allow"] == "GET, POST"

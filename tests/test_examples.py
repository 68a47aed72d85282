"""The examples run as their pages describe it."""

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
    """Run the bookmarks' server in an empty folder, and yield its URL."""
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
    while not (match := re.search(r"running on (http://[\d.:]+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return match[1]


def test_an_existing_application_adopts_bedplate(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        account = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
        assert client.post("/api/v1/users", json=account).status_code == 201
        form = {"username": account["email"], "password": PASSWORD}
        token = client.post("/api/v1/auth/token", data=form).json()["access_token"]
        stranger = client.get("/hello")
        client.headers["Authorization"] = f"Bearer {token}"

        hello = client.get("/hello")
        bookmark = {"url": "https://example.com/a", "title": "A"}
        first = client.post("/api/v1/bookmarks", json=bookmark)
        again = client.post("/api/v1/bookmarks", json=bookmark)
        page = client.get("/api/v1/bookmarks").json()
        deleted = client.delete(first.headers["Location"])
        absent = client.get("/api/v1/posts")
        document = client.get("/openapi.json").json()
        not_allowed = client.put("/api/v1/bookmarks")

    assert stranger.json()["error"]["code"] == "UNAUTHENTICATED"
    assert hello.json() == {"message": "Hello, Ada"}
    assert (first.status_code, deleted.status_code) == (201, 204)
    assert again.json()["error"]["code"] == "ALREADY_KEPT"
    assert [item["title"] for item in page["items"]] == ["A"]
    assert absent.status_code == 404
    assert {"/hello", "/api/v1/bookmarks"} <= document["paths"].keys()
    assert not_allowed.headers["Allow"] == "GET, HEAD, POST"


# Requests to the Django project, with a token that the API's service issued.
USE_DJANGO = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
from bedplate.django_site.services import call_service
from bedplate.modules.auth.sign_in import SignInService

ada = get_user_model().objects.get()
assert ada.is_superuser and ada.check_password("Passw0rd-of-tests")
client = Client()
assert client.login(username="ada@example.com", password="Passw0rd-of-tests")
assert client.get("/admin/shop/basket/").status_code == 200
assert client.get("/admin/bedplate/user/").status_code == 200
client.logout()
assert client.get("/admin/bedplate/user/").status_code == 302

signed_in = call_service(
    SignInService, lambda s: s.sign_in("ada@example.com", "Passw0rd-of-tests")
)
assert Client().get("/whoami/").status_code == 401
bearer = Client(headers={"Authorization": f"Bearer {signed_in.tokens.access_token}"})
assert bearer.get("/whoami/").json() == {"email": "ada@example.com", "role": "admin"}
created = bearer.post("/baskets/", {"note": "Apples"}, content_type="application/json")
assert created.json()["owner"] == "ada@example.com", created.content
me = bearer.get("/api/v1/users/me")
assert me.json()["email"] == "ada@example.com", me.content
assert me["X-Request-ID"]
post = {"title": "Apples", "content": "Ripe"}
created = bearer.post("/api/v1/posts", post, content_type="application/json")
assert bearer.get(created["Location"]).json() == created.json(), created.content
assert "/api/v1/posts/{post_id}" in bearer.get("/api/v1/schema").json()["paths"]
print("uvicorn" in sys.modules)
"""


def test_an_existing_django_project_adopts_bedplate(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        process = subprocess.run(
            [sys.executable, "-W", "error", *command],
            cwd=tmp_path,
            env={
                "BEDPLATE_SECRET_KEY": TEST_KEY,
                "PYTHONPATH": str(EXAMPLES / "django_project"),
                "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    manage = str(EXAMPLES / "django_project" / "manage.py")
    account = ("--email", "ada@example.com", "--name", "Ada")
    run("-m", "bedplate", "migrate")
    run(manage, "migrate")
    assert "No changes" in run(manage, "makemigrations", "--check", "--dry-run")
    run(manage, "createsuperuser", "--noinput", *account)

    assert run("-c", USE_DJANGO) == "False\n"

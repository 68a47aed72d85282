"""Django in the real program: loaded on its first request, and optional."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from bedplate.testing.servers import run_command, serving

PASSWORD = "Passw0rd-of-tests"
KEY = "a key for tests, at least 32 bytes long"
PRODUCTION = {
    "environment": "production",
    "secret_key": KEY,
    "public_url": "https://shop.example",
}
DJANGOS_TABLES = (
    "auth_group_permissions",
    "auth_group",
    "auth_permission",
    "django_content_type",
    "django_migrations",
)
# Runs `bedplate` without access to Django, as if the extra were not installed.
WITHOUT_DJANGO = """
import sys

class Hiding:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"django", "rest_framework"}:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)

sys.meta_path[:] = map(Hiding, sys.meta_path)
from bedplate.cli import main
main()
"""
# Prints whether Django is loaded after requests to the API, and to the admin.
LOADED = """
import sys, httpx, asyncio
from bedplate.asgi import api, app

async def send_requests():
    async with api.router.lifespan_context(api):
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        for path in ("/api/v1/posts", "/openapi.json", "/docs", "/health/ready"):
            assert (await client.get(path)).status_code == 200, path
        before = "django" in sys.modules
        assert (await client.get("/admin/login/")).status_code == 200
        print(before, "django" in sys.modules)

asyncio.run(send_requests())
"""
# Prints the responses that a proxy gets, which terminates TLS for shop.example.
OVER_TLS = """
import asyncio, httpx, json, re
from bedplate.asgi import api, app

async def send_requests():
    async with api.router.lifespan_context(api):
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1")
        shop = {"Host": "shop.example"}
        page = await client.get("/admin/login/", headers=shop)
        token = re.search('csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
        form = {"username": "ada@example.com", "password": "Passw0rd-of-tests"}
        form["csrfmiddlewaretoken"] = token
        origin = {**shop, "Origin": "https://shop.example"}
        cookie = page.headers["set-cookie"].partition(";")[0]
        signed_in = await client.post(
            "/admin/login/", data=form, headers={**origin, "Cookie": cookie}
        )
        print(json.dumps({
            "status": page.status_code,
            "cookies": [*page.headers.get_list("set-cookie"),
                        *signed_in.headers.get_list("set-cookie")],
            "hsts": [
                (await client.get(path, headers=shop)).headers.get_list(
                    "strict-transport-security")
                for path in ("/admin/login/", "/api/v1/posts", "/nothing", "/docs",
                             "/django/api/v1/posts", "/health/live")
            ],
            "wrong host": (await client.get("/admin/login/")).status_code,
        }))

asyncio.run(send_requests())
"""


def create_admin(folder: Path, **settings: Any) -> None:
    run_command(folder, "migrate", **settings)
    result = run_command(
        folder,
        *("users", "create", "ada@example.com", "--name", "Ada", "--role", "admin"),
        "--password-stdin",
        stdin=PASSWORD,
        **settings,
    )
    assert result.returncode == 0, result.stderr


def sign_in(client: httpx.Client) -> httpx.Response:
    page = client.get("/admin/login/")
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None, page.text
    form = {"username": "ada@example.com", "password": PASSWORD, "next": "/admin/"}
    form["csrfmiddlewaretoken"] = token[1]
    return client.post("/admin/login/", data=form, follow_redirects=True)


@pytest.mark.parametrize("options", [(), ("--django-only",)], ids=["beside", "alone"])
def test_the_admin_site_is_served(
    database_url: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    settings = {"database_url": database_url, "secret_key": KEY}
    create_admin(tmp_path, **settings)
    with (
        serving(tmp_path, *options, **settings) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        front = sign_in(client)
        style = client.get("/django/static/admin/css/base.css")
        api = client.get("/api/v1/posts")
        output = server.output

    assert "Overview" in front.text
    assert style.headers["content-type"].startswith("text/css")
    assert api.status_code == (404 if options else 200)
    assert f"{server.url}/admin/" in output


def test_nothing_of_django_is_loaded_before_its_first_request(tmp_path: Path) -> None:
    program = (sys.executable, "-c", LOADED)

    result = run_command(tmp_path, program=program, secret_key=KEY)

    assert result.stdout == "False True\n", result.stderr


def test_without_django_the_service_runs(tmp_path: Path) -> None:
    program = (sys.executable, "-c", WITHOUT_DJANGO)
    assert run_command(tmp_path, "migrate", program=program).returncode == 0
    django_only = run_command(tmp_path, "serve", "--django-only", program=program)
    with serving(tmp_path, program=program) as server:
        posts = httpx.get(f"{server.api}/posts")
        admin = httpx.get(f"{server.url}/admin/")
        output = server.output

    assert posts.status_code == 200
    assert admin.json()["error"]["code"] == "NOT_FOUND"
    assert "Admin" not in output.replace("First admin", "")
    assert "Install bedplate[django]" in django_only.stderr


def test_migrate_also_migrates_the_job_engine_and_django(
    database_url: str, tmp_path: Path
) -> None:
    settings = {"database_url": database_url, "secret_key": KEY}
    url = sa.make_url(database_url)
    name = "sqlite" if url.drivername == "sqlite" else "postgresql+psycopg"
    engine = sa.create_engine(url.set(drivername=name))
    with engine.begin() as connection:
        for table in DJANGOS_TABLES:
            connection.exec_driver_sql(f"DROP TABLE {table}")
    engine.dispose()

    behind = run_command(tmp_path, "migrate", "--check", **settings)
    migrated = run_command(tmp_path, "migrate", **settings)
    at_head = run_command(tmp_path, "migrate", "--check", **settings)
    unchanged = run_command(
        tmp_path, "django", "makemigrations", "--check", "--dry-run", **settings
    )

    assert behind.returncode == 1
    assert "bedplate migrate" in behind.stderr
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert (at_head.returncode, at_head.stderr) == (0, "")
    assert unchanged.stdout == "No changes detected\n", unchanged.stderr


def test_djangos_own_deployment_check_is_clean_in_production(tmp_path: Path) -> None:
    arguments = ("django", "check", "--deploy", "--fail-level", "WARNING")

    result = run_command(tmp_path, *arguments, **PRODUCTION)

    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_in_production_the_admin_site_requires_tls(tmp_path: Path) -> None:
    program = (sys.executable, "-c", OVER_TLS)
    settings = {**PRODUCTION, "database_url": "sqlite:///shop.db"}
    create_admin(tmp_path, **settings)

    result = run_command(tmp_path, program=program, **settings)

    page = json.loads(result.stdout)
    assert (page["status"], page["wrong host"]) == (200, 400), result.stderr
    names = {cookie.partition("=")[0] for cookie in page["cookies"]}
    assert names == {
        "__Host-bedplate_admin",
        "__Host-bedplate_csrf",
        "__Host-bedplate_device",
    }
    for cookie in page["cookies"]:
        attributes = {part.strip() for part in cookie.split(";")[1:]}
        assert {"Secure", "HttpOnly", "Path=/"} <= attributes
        assert not any(part.startswith("Domain") for part in attributes)
    assert page["hsts"] == [["max-age=31536000"]] * 6

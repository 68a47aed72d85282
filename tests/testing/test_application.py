"""The kit tests the project's own application, with the settings that users get."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from bedplate.config import PREFIX, Settings
from bedplate.example import BUILT_IN
from bedplate.jobs.status import has_live_worker
from bedplate.main import Application
from bedplate.module import Module
from bedplate.modules.users.models import User
from bedplate.testing.application import (
    bound,
    load_project_app,
    make_application,
    settings_for,
)
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import PASSWORD, client_for

NEEDED = {"allowed_hosts", "data_dir", "database_url", "mail_url", "secret_key"}
"""The settings that a test needs: its own database and folders, and a host."""

SHOP = """
from bedplate import Settings, create_app
from bedplate.example import BUILT_IN
from bedplate.api.routing import Router

class Till:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def stamped(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-till", b"1")]
            await send(message)
        await self.app(scope, receive, stamped)

app = create_app(Settings.load(mail_language="de"), modules=BUILT_IN, title="Shop")
app.add_middleware(Till)

@app.get("/till")
async def read_till() -> dict[str, str]:
    mail_url = app.state.runtime.settings.mail_url
    return {"title": app.title, "mail": mail_url.get_secret_value()}
"""

GARAGE = """
from fastapi import FastAPI
from bedplate import install
from bedplate.api.dependencies import CurrentUser

app = FastAPI(title="Garage")

@app.get("/cars")
async def list_cars(caller: CurrentUser) -> list[str]:
    return [caller.name]

install(app)
"""


@pytest.fixture(autouse=True)
def _importable_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    for name in ("kit_shop", "kit_garage"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def write_project(folder: Path, name: str, code: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[tool.bedplate]\napp = "{name}:app"\n')
    (folder / ".env").write_text(f"{PREFIX}SIGNUP=closed\n")
    (folder / f"{name}.py").write_text(code)
    return folder


def sign_up_body(number: int) -> dict[str, str]:
    email = f"new{number}@example.com"
    return {"email": email, "name": "New", "password": PASSWORD}


def test_the_settings_are_those_that_a_user_gets(settings: Settings) -> None:
    default = Settings.load(_env_file=None, _env_prefix="NOBODY_")

    assert set(settings.model_fields_set) == NEEDED
    assert settings.model_dump(exclude=NEEDED) == default.model_dump(exclude=NEEDED)


async def test_sign_ups_are_counted_for_each_client(
    client: AsyncClient, app: Application
) -> None:
    for number in range(20):
        assert (
            await client.post("/users", json=sign_up_body(number))
        ).status_code == 201

    refused = await client.post("/users", json=sign_up_body(20))
    async with client_for(app) as another:
        welcome = await another.post("/users", json=sign_up_body(20))

    assert_refused(refused, 429, "RATE_LIMITED")
    assert welcome.status_code == 201


async def test_requests_are_logged_with_the_address_of_their_client(
    app: Application, as_user: AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_for(app, address="203.0.113.9") as client:
        client.headers["Authorization"] = as_user.headers["Authorization"]
        await client.get("/users/me")

    logged = capsys.readouterr().err
    assert "request" in logged
    assert "ip=203.0.113.9" in logged
    assert "path=/api/v1/users/me" in logged
    assert "status=200" in logged


async def test_the_worker_is_where_users_have_it(
    app: Application, settings: Settings
) -> None:
    """Check the worker: embedded on SQLite, elsewhere another process."""
    is_sqlite = settings.resolved_database_url.drivername == "sqlite"

    assert settings.runs_worker == is_sqlite
    assert await has_live_worker(app.state.runtime.database) == is_sqlite


async def test_a_project_s_own_application_is_what_is_tested(
    tmp_path: Path, settings: Settings, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}MAIL_URL", "smtp://mail.example.com")
    before = dict(os.environ)

    shop = load_project_app(write_project(tmp_path, "kit_shop", SHOP))

    assert dict(os.environ) == before
    assert ".bedplate" not in os.listdir(tmp_path)  # noqa: PTH208, not async here
    loaded = settings_for(shop, settings.model_dump(include=NEEDED))
    assert (loaded.mail_language, loaded.signup) == ("de", "open")
    with bound(shop, loaded.model_copy(update={"embedded_worker": False})):
        async with shop.router.lifespan_context(shop), client_for(shop) as client:
            till = await client.get("http://test/till")
            form = {"username": user.email, "password": PASSWORD}
            tokens = await client.post("/auth/token", data=form)
    assert till.json() == {
        "title": "Shop",
        "mail": settings.mail_url.get_secret_value(),
    }
    assert till.headers["x-till"] == "1"
    assert tokens.status_code == 200  # the account is in this test's database


async def test_an_application_that_took_bedplate_up_is_tested_too(
    tmp_path: Path, settings: Settings, user: User
) -> None:
    garage = load_project_app(write_project(tmp_path, "kit_garage", GARAGE))
    small = settings.model_copy(
        update={"max_body_bytes": 1024, "embedded_worker": False}
    )

    with bound(garage, small):
        async with garage.router.lifespan_context(garage), client_for(garage) as client:
            stranger = await client.get("http://test/cars")
            form = {"username": user.email, "password": PASSWORD}
            token = (await client.post("/auth/token", data=form)).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            cars = await client.get("http://test/cars", headers=headers)
            large = await client.post("/users", json={"name": "x" * 1024})

    assert stranger.status_code == 401
    assert cars.json() == [user.name]
    assert_refused(large, 413, "PAYLOAD_TOO_LARGE")


def test_what_a_test_adds_to_the_application_goes_with_it(settings: Settings) -> None:
    app = make_application((*BUILT_IN, Module(name="more")))
    before = _parts(app)

    with bound(app, settings):
        app.add_api_route("/planted", _stay_away)
        app.add_middleware(_pass_on)
        app.add_exception_handler(ZeroDivisionError, _stay_away)
        app.dependency_overrides[dict] = list
        app.state.planted = True
        app.openapi()
        assert [a == b for a, b in zip(_parts(app), before, strict=True)].count(
            True
        ) == 0

    assert _parts(app) == before


def _parts(app: FastAPI) -> list[Any]:
    return [
        [*app.router.routes],
        [*app.user_middleware],
        {**app.exception_handlers},
        {**app.dependency_overrides},
        {**app.state._state},
        app.openapi_schema,
    ]


async def _stay_away(*_: Any) -> Any:
    raise NotImplementedError


def _pass_on(app: Any) -> Any:
    return app

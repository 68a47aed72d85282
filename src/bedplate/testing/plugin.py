"""A pytest plugin: `pytest_plugins = ["bedplate.testing.plugin"]`.

A test that uses `database_url`, `app` or a client runs twice, on SQLite and on a real
PostgreSQL, each time on its own migrated database. The application is your project's,
with the settings that its users get: rate limits are on, SQLite has its embedded
worker, requests are logged.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import ASGIApp

from bedplate.config import Settings
from bedplate.core.permissions import ADMIN, USER
from bedplate.core.security import hash_password
from bedplate.main import Application, create_app
from bedplate.module import Module
from bedplate.modules.auth.sessions import SessionService
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.application import bound, load_project_app, settings_for
from bedplate.testing.browser import Browser
from bedplate.testing.clock import FrozenClock, frozen
from bedplate.testing.databases import (
    TEST_KEY,
    PostgresDatabases,
    SqliteDatabases,
    local_postgres,
    refuse_unless_made_here,
)
from bedplate.testing.guards import recorded_statements
from bedplate.testing.jobs import JobRunner
from bedplate.testing.mailbox import Mailbox

PASSWORD = "Passw0rd-of-tests"  # noqa: S105, only of test accounts
"""The password of every account that `make_user` creates."""
API = "http://test/api/v1"
"""The base URL of the clients."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' client, not the app's


@pytest.fixture(scope="session")
def application(pytestconfig: pytest.Config) -> FastAPI:
    """Return the application under test: `app` of `[tool.bedplate]` in pyproject.toml.

    Override it to test another application: `make_application(modules)` makes one.
    """
    return load_project_app(pytestconfig.rootpath)


@pytest.fixture(scope="session")
def modules(application: FastAPI) -> Sequence[Module]:
    """Return the modules of the application under test."""
    modules: Sequence[Module] = application.state.modules
    return modules


@pytest.fixture(scope="session")
def sqlite_databases(
    tmp_path_factory: pytest.TempPathFactory, modules: Sequence[Module]
) -> SqliteDatabases:
    """Return a maker of SQLite databases, as copies of one migrated file."""
    folder = tmp_path_factory.mktemp("sqlite")
    return SqliteDatabases(folder, modules)


@pytest.fixture(scope="session")
def postgres_databases(
    tmp_path_factory: pytest.TempPathFactory, modules: Sequence[Module]
) -> Iterator[PostgresDatabases]:
    """Return a maker of PostgreSQL databases on a temporary server."""
    with local_postgres() as url:
        folder = tmp_path_factory.mktemp("postgres")
        yield PostgresDatabases(url, folder, modules)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of a migrated database: first of SQLite, then of PostgreSQL."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    databases = request.getfixturevalue(f"{kind}_databases")
    with databases.fresh() as url:
        yield url


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Return the settings that differ in a test or a file. Override this fixture."""
    return {}


@pytest.fixture
def settings(
    application: FastAPI,
    database_url: str,
    setting_overrides: dict[str, Any],
    tmp_path: Path,
) -> Settings:
    """Return the settings of the application's code, with the values for tests."""
    values = {
        "database_url": database_url,
        "data_dir": tmp_path / "data",
        "secret_key": TEST_KEY,
        "mail_url": f"file://{tmp_path / 'outbox'}",
        "allowed_hosts": "test",
    }
    values |= setting_overrides
    refuse_unless_made_here(str(values["database_url"]))
    return settings_for(application, values)


@pytest.fixture
def mailbox(jobs: JobRunner, tmp_path: Path) -> Mailbox:
    """Return the mails that this test has sent."""
    return Mailbox(tmp_path / "outbox", jobs)


@asynccontextmanager
async def running(settings: Settings, **options: Any) -> AsyncIterator[Application]:
    """Run a second application, such as another process on the same database.

    It has no embedded worker: a process can only have one.
    """
    app = create_app(settings.model_copy(update={"embedded_worker": False}), **options)
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture
async def app(
    application: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    """Run the application under test on this test's database and settings."""
    # Polls more often, so that tests wait less for jobs.
    monkeypatch.setattr("bedplate.worker.POLL_SECONDS", 0.1)
    with bound(application, settings):
        async with application.router.lifespan_context(application):
            yield application


_addresses = count(int(IPv4Address("198.18.0.1")))  # RFC 2544: reserved for tests


def client_for(
    app: ASGIApp, token: str | None = None, *, address: str | None = None
) -> httpx.AsyncClient:
    """Return a client whose paths are relative to `/api/v1`.

    Each client gets its own IP address, so rate limits count them separately.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = transport_for(app, address)
    return httpx.AsyncClient(transport=transport, base_url=API, headers=headers)


def transport_for(app: ASGIApp, address: str | None = None) -> httpx.ASGITransport:
    """Return a transport to an application, with its own IP address or this one."""
    address = address or str(IPv4Address(next(_addresses)))
    return httpx.ASGITransport(app, client=(address, 50000))


@pytest_asyncio.fixture
async def client(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client without credentials."""
    async with client_for(app) as client:
        yield client


@pytest.fixture(scope="session")
def hashed_password() -> str:
    """Return the hash of `PASSWORD`."""
    return asyncio.run(hash_password(PASSWORD))


MakeUser = Callable[..., Awaitable[User]]
"""The type of the fixture `make_user`."""


@pytest.fixture
def make_user(app: Application, hashed_password: str) -> MakeUser:
    """Return a function that creates accounts with the password `PASSWORD`.

    editor = await make_user(role="editor")
    """
    number = 0

    async def make(**values: Any) -> User:
        nonlocal number
        number += 1
        defaults = {"email": f"user{number}@example.com", "name": f"User {number}"}
        user = User(**{**defaults, "hashed_password": hashed_password, **values})
        async with app.state.runtime.database.unit_of_work() as session:
            session.add(user)
        return user

    return make


SignIn = Callable[[UUID], Awaitable[httpx.AsyncClient]]
"""The type of the fixture `sign_in`."""


@pytest_asyncio.fixture
async def sign_in(app: Application) -> AsyncIterator[SignIn]:
    """Return a function that signs a user in by id, without a slow password check.

    as_editor = await sign_in(editor.id)
    """
    clients: list[httpx.AsyncClient] = []

    async def make(user_id: UUID) -> httpx.AsyncClient:
        client = client_for(app, await _issue_token(app, user_id))
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


async def _issue_token(app: Application, user_id: UUID) -> str:
    runtime = app.state.runtime
    async with runtime.database.unit_of_work() as session:
        service = SessionService(session, runtime)
        user = await service.users.get(user_id)
        assert user is not None
        row: UserSession = await service.create(user)
    return str(runtime.tokens.issue(user_id, row.id))


AsRole = Callable[[str], Awaitable[httpx.AsyncClient]]
"""The type of the fixture `as_role`."""


@pytest.fixture
def as_role(make_user: MakeUser, sign_in: SignIn) -> AsRole:
    """Return a function that makes a signed-in client of a new account with a role.

    as_editor = await as_role("editor")
    """

    async def make(role: str) -> httpx.AsyncClient:
        return await sign_in((await make_user(role=role)).id)

    return make


@pytest_asyncio.fixture
async def user(make_user: MakeUser) -> User:
    """Create a user, `user@example.com`."""
    return await make_user(email="user@example.com", name="A User", role=USER)


@pytest_asyncio.fixture
async def admin(make_user: MakeUser) -> User:
    """Create an admin, `admin@example.com`."""
    return await make_user(email="admin@example.com", name="An Admin", role=ADMIN)


@pytest_asyncio.fixture
async def as_user(user: User, sign_in: SignIn) -> httpx.AsyncClient:
    """Return a client signed in as `user`."""
    return await sign_in(user.id)


@pytest_asyncio.fixture
async def as_admin(admin: User, sign_in: SignIn) -> httpx.AsyncClient:
    """Return a client signed in as `admin`."""
    return await sign_in(admin.id)


@pytest_asyncio.fixture
async def with_admin(app: Application) -> AsyncIterator[ASGIApp]:
    """Return the application with Django and its admin site beside it."""
    from bedplate.testing.django_side import beside

    async with beside(app) as both:
        yield both


@pytest_asyncio.fixture
async def browser(with_admin: ASGIApp) -> AsyncIterator[Browser]:
    """Return a browser for the admin site, not signed in."""
    transport = transport_for(with_admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Browser(client)


@pytest_asyncio.fixture
async def admin_browser(browser: Browser, admin: User) -> Browser:
    """Return a browser that is signed in to the admin site as `admin`."""
    await browser.sign_in(admin.email, PASSWORD)
    return browser


@pytest.fixture
def frozen_clock() -> Iterator[FrozenClock]:
    """Stop the clock for the test. `advance(timedelta(hours=1))` moves it forward."""
    with frozen() as clock:
        yield clock


Statements = Callable[[], AbstractContextManager[list[str]]]
"""The type of the fixture `statements`."""


@pytest.fixture
def statements(app: Application) -> Statements:
    """Return a context manager that records the SQL statements of its block.

    with statements() as sent:
        await as_user.get("/users/me")
    """
    return lambda: recorded_statements(app.state.runtime.database)


@pytest.fixture
def jobs(app: FastAPI) -> JobRunner:
    """Return the runner of this test's jobs, which `run_jobs` and `mailbox` use."""
    return JobRunner(app.state.runtime)


RunJobs = Callable[..., Awaitable[list[str]]]
"""The type of the fixture `run_jobs`."""


@pytest.fixture
def run_jobs(jobs: JobRunner) -> RunJobs:
    """Return a function that runs the queued jobs and returns their names.

    On SQLite the embedded worker runs them, and this waits for it. On PostgreSQL, where
    the worker is a separate process, they run here. A job that fails raises
    `JobFailed`. With `delayed=True` delayed jobs run too.
    """
    return jobs.finish

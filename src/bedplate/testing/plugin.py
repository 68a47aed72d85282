"""A pytest plugin: `pytest_plugins = ["bedplate.testing.plugin"]`.

Each test that asks for `database_url`, `app` or a client runs once on SQLite and once
on a real PostgreSQL, on a migrated database of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from bedplate.config import Settings
from bedplate.core.permissions import ADMIN, USER
from bedplate.core.security import hash_password
from bedplate.main import Application, create_app
from bedplate.module import Module
from bedplate.modules import BUILT_IN
from bedplate.modules.auth.service import AuthService
from bedplate.modules.users.models import User, UserSession
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
from bedplate.testing.jobs import run_queued_jobs
from bedplate.testing.mailbox import Mailbox

PASSWORD = "Passw0rd-of-tests"  # noqa: S105, it opens nothing but test accounts
API = "http://test/api/v1"


@pytest.fixture(scope="session")
def modules() -> Sequence[Module]:
    """What the application under test consists of; a project overrides it."""
    return BUILT_IN


@pytest.fixture(scope="session")
def sqlite_databases(
    tmp_path_factory: pytest.TempPathFactory, modules: Sequence[Module]
) -> SqliteDatabases:
    folder = tmp_path_factory.mktemp("sqlite")
    return SqliteDatabases(folder, modules)


@pytest.fixture(scope="session")
def postgres_databases(
    tmp_path_factory: pytest.TempPathFactory, modules: Sequence[Module]
) -> Iterator[PostgresDatabases]:
    with local_postgres() as url:
        folder = tmp_path_factory.mktemp("postgres")
        yield PostgresDatabases(url, folder, modules)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of this test's own, once of each kind."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    databases = request.getfixturevalue(f"{kind}_databases")
    with databases.fresh() as url:
        yield url


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Settings that a test module or a test wants otherwise; override this fixture."""
    return {}


@pytest.fixture
def settings(
    database_url: str, setting_overrides: dict[str, Any], tmp_path: Path
) -> Settings:
    values = {
        "database_url": database_url,
        "data_dir": tmp_path / "data",
        "secret_key": TEST_KEY,
        "log_level": "warning",
        "mail_url": f"file://{tmp_path / 'outbox'}",
        "pool_size": 10,
        "embedded_worker": False,  # a test runs its jobs itself
        "rate_limits_enabled": False,  # a test of limits turns them on
        "allowed_hosts": "test",
    }
    values |= setting_overrides
    refuse_unless_made_here(str(values["database_url"]))
    # Another prefix, so that nothing of the developer's environment gets in.
    return Settings.load(_env_file=None, _env_prefix="BEDPLATE_TEST_", **values)


@pytest.fixture
def mailbox(app: Application, tmp_path: Path) -> Mailbox:
    """What was mailed in this test."""
    return Mailbox(tmp_path / "outbox", app.state.runtime)


@asynccontextmanager
async def running(settings: Settings, **options: Any) -> AsyncIterator[Application]:
    """An application between its start and its stop."""
    app = create_app(settings, **options)
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture
async def app(
    settings: Settings, modules: Sequence[Module]
) -> AsyncIterator[Application]:
    async with running(settings, modules=modules) as app:
        yield app


def client_for(app: Application, token: str | None = None) -> httpx.AsyncClient:
    """A client whose paths begin below `/api/v1`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url=API, headers=headers)


@pytest_asyncio.fixture
async def client(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A stranger."""
    async with client_for(app) as client:
        yield client


@pytest.fixture(scope="session")
def hashed_password() -> str:
    return asyncio.run(hash_password(PASSWORD))


MakeUser = Callable[..., Awaitable[User]]


@pytest.fixture
def make_user(app: Application, hashed_password: str) -> MakeUser:
    """A factory of accounts, whose password is `PASSWORD`."""
    made = 0

    async def make(**values: Any) -> User:
        nonlocal made
        made += 1
        defaults = {"email": f"user{made}@example.com", "name": f"User {made}"}
        user = User(**{**defaults, "hashed_password": hashed_password, **values})
        async with app.state.runtime.database.unit_of_work() as session:
            session.add(user)
        return user

    return make


SignIn = Callable[[UUID], Awaitable[httpx.AsyncClient]]


@pytest_asyncio.fixture
async def sign_in(app: Application) -> AsyncIterator[SignIn]:
    """A signed-in client for a user's id, without the cost of a password check."""
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
        service = AuthService(session, runtime)
        user = await service.users.get(user_id)
        assert user is not None
        opened: UserSession = await service._open_session(user)  # noqa: SLF001, no hash
    return str(runtime.tokens.issue(user_id, opened.id))


AsRole = Callable[[str], Awaitable[httpx.AsyncClient]]


@pytest.fixture
def as_role(make_user: MakeUser, sign_in: SignIn) -> AsRole:
    """For a signed-in client of a new account with a role.

    as_editor = await as_role("editor")
    """

    async def make(role: str) -> httpx.AsyncClient:
        return await sign_in((await make_user(role=role)).id)

    return make


@pytest_asyncio.fixture
async def user(make_user: MakeUser) -> User:
    return await make_user(email="user@example.com", name="A User", role=USER)


@pytest_asyncio.fixture
async def admin(make_user: MakeUser) -> User:
    return await make_user(email="admin@example.com", name="An Admin", role=ADMIN)


@pytest_asyncio.fixture
async def as_user(user: User, sign_in: SignIn) -> httpx.AsyncClient:
    return await sign_in(user.id)


@pytest_asyncio.fixture
async def as_admin(admin: User, sign_in: SignIn) -> httpx.AsyncClient:
    return await sign_in(admin.id)


@pytest_asyncio.fixture
async def with_admin(app: Application) -> AsyncIterator[ASGIApp]:
    """The application with Django beside it, on this test's database."""
    from bedplate.testing.django_side import beside

    async with beside(app) as both:
        yield both


@pytest_asyncio.fixture
async def browser(with_admin: ASGIApp) -> AsyncIterator[Browser]:
    """Somebody in front of the admin site, not signed in."""
    transport = httpx.ASGITransport(with_admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Browser(client)


@pytest_asyncio.fixture
async def admin_browser(browser: Browser, admin: User) -> Browser:
    """An admin in the admin site."""
    await browser.sign_in(admin.email, PASSWORD)
    return browser


@pytest.fixture
def frozen_clock() -> Iterator[FrozenClock]:
    """The clock stands during the test; `advance(timedelta(hours=1))` moves it on."""
    with frozen() as clock:
        yield clock


Statements = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def statements(app: Application) -> Statements:
    """For a block whose statements are to be seen.

    with statements() as sent:
        await as_user.get("/users/me")
    """
    return lambda: recorded_statements(app.state.runtime.database)


RunJobs = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def run_jobs(app: Application) -> RunJobs:
    """Runs what is queued, here and now, and tells which jobs those were.

    A job that fails fails the test. Delayed ones run too with `delayed=True`.
    """

    async def run(*, delayed: bool = False) -> list[str]:
        return await run_queued_jobs(app.state.runtime, delayed=delayed)

    return run

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import pytest_asyncio
from httpx import AsyncClient
from support import Clients, Snapshot, read_table

from bedplate.main import Application
from bedplate.modules.users.models import User, UserSession

if TYPE_CHECKING:  # pytest itself imports the plugin, to rewrite its assertions
    from bedplate.testing.plugin import MakeUser, SignIn

pytest_plugins = ["bedplate.testing.plugin"]

# The same examples on every run: a failure is a change of the code, never of the dice.
hypothesis.settings.register_profile(
    "bedplate",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("bedplate")


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "sign-ups of each test that breaks something under them"
    parser.addoption("--sign-ups", type=int, default=40, help=help_text)


@pytest.fixture
def sign_ups(request: pytest.FixtureRequest) -> int:
    """Few, so that the tests are quick; `--sign-ups 200 -n 0 -s` prints the counts."""
    return int(request.config.getoption("--sign-ups"))


@pytest.fixture
def snapshot(app: Application) -> Snapshot:
    """Everything that is stored, to show that a refusal has written nothing."""

    async def read() -> Sequence[Any]:
        return [await read_table(app, model) for model in (User, UserSession)]

    return read


@pytest_asyncio.fixture
async def other(make_user: MakeUser) -> User:
    """Somebody else than `user`."""
    return await make_user(email="other@example.com", name="Other One")


@pytest_asyncio.fixture
async def clients(
    client: AsyncClient,
    as_user: AsyncClient,
    as_admin: AsyncClient,
    other: User,
    sign_in: SignIn,
) -> Clients:
    """Everyone who may call, by what they are."""
    as_other = await sign_in(other.id)
    return {"stranger": client, "user": as_user, "admin": as_admin, "other": as_other}

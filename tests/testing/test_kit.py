"""The test kit does what its documentation says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from bedplate.config import Settings
from bedplate.core.clock import clock, utc_now
from bedplate.testing.clock import FrozenClock, frozen
from bedplate.testing.databases import NotATestDatabase, refuse_unless_made_here
from bedplate.testing.plugin import AsRole, Statements

MINE = "postgresql://me@localhost/shop_development"


def test_a_database_of_the_developers_own_is_refused(database_url: str) -> None:
    refuse_unless_made_here(database_url)

    for url in (MINE, "sqlite:///shop.db", f"{database_url}x"):
        with pytest.raises(NotATestDatabase):
            refuse_unless_made_here(url)


class TestWithAnotherDatabase:
    @pytest.fixture
    def setting_overrides(self) -> dict[str, Any]:
        return {"database_url": MINE}

    def test_its_settings_are_refused(
        self, database_url: str, request: pytest.FixtureRequest
    ) -> None:
        with pytest.raises(NotATestDatabase):
            request.getfixturevalue("settings")


class TestInADevelopersEnvironment:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BEDPLATE_DATABASE_URL", MINE)
        monkeypatch.setenv("BEDPLATE_MAIL_URL", "smtp://mail.example.com")
        monkeypatch.setenv("BEDPLATE_SIGNUP", "closed")

    def test_nothing_of_it_gets_in(self, settings: Settings) -> None:
        assert settings.signup == "open"
        assert settings.parsed_mail_url.scheme == "file"
        assert "shop_development" not in str(settings.resolved_database_url)


async def test_a_frozen_clock_moves_when_the_test_moves_it(
    frozen_clock: FrozenClock, as_user: AsyncClient
) -> None:
    """A token is valid for 15 minutes of the frozen clock."""
    frozen_clock.advance(timedelta(minutes=14, seconds=59))
    assert (await as_user.get("/users/me")).status_code == 200

    frozen_clock.advance(timedelta(seconds=1))
    assert (await as_user.get("/users/me")).status_code == 401


async def test_the_clock_may_stand_in_another_year(
    frozen_clock: FrozenClock, client: AsyncClient
) -> None:
    frozen_clock.move_to(datetime(2020, 2, 29, tzinfo=UTC))
    body = {"email": "new@example.com", "name": "New", "password": "Passw0rd"}

    created = await client.post("/users", json=body)

    assert created.json()["created_at"] == "2020-02-29T00:00:00Z"


def test_the_clock_runs_again() -> None:
    with frozen(datetime(2020, 1, 1, tzinfo=UTC)) as held:
        assert utc_now() == held.now == datetime(2020, 1, 1, tzinfo=UTC)
        with pytest.raises(ValueError, match="aware"):
            held.move_to(datetime(2020, 1, 1))  # noqa: DTZ001, planted

    assert clock.held is None
    assert utc_now() > datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_client_has_the_requested_role(as_role: AsRole) -> None:
    as_admin = await as_role("admin")

    assert (await as_admin.get("/users/me")).json()["role"] == "admin"
    assert (await as_admin.get("/users")).status_code == 200
    assert (await (await as_role("user")).get("/users")).status_code == 403


async def test_statements_are_those_of_the_block(
    as_user: AsyncClient, statements: Statements
) -> None:
    with statements() as recorded:
        await as_user.get("/users/me")
    await as_user.get("/users/me")

    assert len(recorded) == 1

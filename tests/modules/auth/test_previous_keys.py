"""A change of the secret key: what the previous one signed is accepted, then not."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from support_auth import bearer, sign_in

from bedplate.config import Settings, SettingsError
from bedplate.django_site.settings import django_settings
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.auth.keys import KeyService
from bedplate.modules.auth.models import SigningKey
from bedplate.modules.users.models import User
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.plugin import client_for, running

NEW_KEY = "5f1c-another key, of 32 bytes and somewhat more"


def with_keys(settings: Settings, current: str, *previous: str) -> Settings:
    values = settings.model_dump() | {
        "secret_key": current,
        "previous_secret_keys": previous,
        "roles": ",".join(settings.roles),
    }
    return Settings.load(_env_file=None, _env_prefix="BEDPLATE_TEST_", **values)


@pytest.fixture(params=["HS256", "ES256"])
def setting_overrides(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"jwt_algorithm": request.param}


async def statuses(settings: Settings, tokens: Any, cursor: str) -> Sequence[int]:
    """Return the answers of a process with these settings to a token and a cursor."""
    query = {"cursor": cursor, "limit": "1"}
    async with running(settings, modules=BUILT_IN) as app, client_for(app) as client:
        me = await client.get("/users/me", headers=bearer(tokens))
        # A cursor's reader must be an admin, who signs in here.
        signed_in = await sign_in(client, "admin@example.com")
        page = await client.get("/users", params=query, headers=bearer(signed_in))
    return me.status_code, page.status_code


async def test_what_a_previous_key_signed_is_accepted_until_the_key_is_removed(
    app: Application, client: AsyncClient, user: User, as_admin: AsyncClient
) -> None:
    settings = app.state.runtime.settings
    tokens = await sign_in(client, user.email)
    page = await as_admin.get("/users", params={"limit": 1})
    cursor = page.json()["next_cursor"]
    assert cursor

    both = await statuses(with_keys(settings, NEW_KEY, TEST_KEY), tokens, cursor)
    assert both == (200, 200)
    new_only = await statuses(with_keys(settings, NEW_KEY), tokens, cursor)
    # The key pair was encrypted anew by then, so ES256's tokens outlive the change.
    is_symmetric = settings.jwt_algorithm == "HS256"
    assert new_only == (401 if is_symmetric else 200, 400)


async def test_before_the_change_every_process_can_already_accept_the_new_key(
    app: Application, user: User
) -> None:
    settings = app.state.runtime.settings
    new_first = with_keys(settings, NEW_KEY, TEST_KEY)
    old_first = with_keys(settings, TEST_KEY, NEW_KEY)
    async with (
        running(new_first, modules=BUILT_IN) as new,
        running(old_first, modules=BUILT_IN) as old,
        client_for(new) as at_new,
        client_for(old) as at_old,
    ):
        for signer, reader in ((at_new, at_old), (at_old, at_new)):
            tokens = await sign_in(signer, user.email)
            answer = await reader.get("/users/me", headers=bearer(tokens))
            assert answer.status_code == 200


async def test_key_pairs_without_their_secret_refuse_the_start(
    app: Application,
) -> None:
    settings = app.state.runtime.settings
    if settings.jwt_algorithm == "HS256":
        return
    with pytest.raises(SettingsError, match="BEDPLATE_PREVIOUS_SECRET_KEYS"):
        async with running(with_keys(settings, NEW_KEY), modules=BUILT_IN):
            pass


async def test_a_rotation_encrypts_the_key_pairs_anew(app: Application) -> None:
    settings = app.state.runtime.settings
    if settings.jwt_algorithm == "HS256":
        return
    database = app.state.runtime.database
    changed = with_keys(settings, NEW_KEY, TEST_KEY)
    async with database.unit_of_work() as session:
        await KeyService(session, changed).rotate()

    async with database.unit_of_work() as session:
        loaded = await KeyService(session, with_keys(settings, NEW_KEY)).load()
        stored = (await session.scalars(sa.select(SigningKey.private_key))).all()
    assert len(loaded) == len(stored) == 2


def test_django_accepts_cookies_of_the_previous_keys(settings: Settings) -> None:
    old, new = (
        django_settings(s, [])
        for s in (settings, with_keys(settings, NEW_KEY, TEST_KEY))
    )

    assert new["SECRET_KEY"] != old["SECRET_KEY"]
    assert new["SECRET_KEY_FALLBACKS"] == [old["SECRET_KEY"]]


def test_every_purpose_has_keys_of_its_own_the_current_first(
    settings: Settings,
) -> None:
    both = with_keys(settings, NEW_KEY, TEST_KEY)

    assert both.keys_for("x") == (
        with_keys(settings, NEW_KEY).key_for("x"),
        settings.key_for("x"),
    )
    assert both.key_for("x") == both.keys_for("x")[0]
    assert not set(both.keys_for("x")) & set(both.keys_for("y"))
    assert len(with_keys(settings, NEW_KEY, NEW_KEY).keys_for("x")) == 1

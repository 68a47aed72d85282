"""A revoked signing key is refused within a second, and never comes back."""

import asyncio
import time
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from httpx import AsyncClient
from support import execute, read_table
from support_auth import bearer, is_signed_in, sign_in

from bedplate.core.errors import NotFound, ServiceUnavailable
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.auth.keys import RELOAD_SECONDS, KeyService
from bedplate.modules.auth.models import SigningKey
from bedplate.modules.users.models import User
from bedplate.testing.guards import recorded_statements
from bedplate.testing.plugin import client_for, running


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"jwt_algorithm": "ES256"}


async def act(app: Application, method: str, *arguments: Any) -> Any:
    runtime = app.state.runtime
    async with runtime.database.unit_of_work() as session:
        return await getattr(KeyService(session, runtime.settings), method)(*arguments)


def kid_of(tokens: Any) -> str:
    return str(jwt.get_unverified_header(tokens["access_token"])["kid"])


def let_a_second_pass(app: Application) -> None:
    app.state.runtime.tokens.loaded_at -= RELOAD_SECONDS


async def test_a_process_that_accepted_a_token_refuses_it_after_its_key_is_revoked(
    client: AsyncClient, user: User, app: Application
) -> None:
    async with (
        running(app.state.runtime.settings, modules=BUILT_IN) as twin,
        client_for(twin) as other,
    ):
        first = await sign_in(client, user.email)
        await act(app, "rotate")
        let_a_second_pass(app)
        second = await sign_in(client, user.email)
        let_a_second_pass(twin)
        assert await is_signed_in(other, first)
        assert await is_signed_in(other, second)

        assert await act(app, "revoke", kid_of(first)) is None

        for process, caller in ((app, client), (twin, other)):
            let_a_second_pass(process)
            assert not await is_signed_in(caller, first)
            assert await is_signed_in(caller, second)


async def test_a_key_deleted_from_the_table_is_refused_too(
    client: AsyncClient, user: User, app: Application
) -> None:
    tokens = await sign_in(client, user.email)
    assert await is_signed_in(client, tokens)

    await execute(app, sa.delete(SigningKey))
    let_a_second_pass(app)

    assert not await is_signed_in(client, tokens)


async def test_the_signing_key_has_a_successor_at_once(
    client: AsyncClient, user: User, app: Application
) -> None:
    before = await sign_in(client, user.email)

    created = await act(app, "revoke", kid_of(before))
    let_a_second_pass(app)
    after = await sign_in(client, user.email)

    assert kid_of(after) == created
    assert await is_signed_in(client, after)
    assert not await is_signed_in(client, before)


async def test_a_revocation_is_audited_and_an_unknown_key_is_not_found(
    client: AsyncClient, user: User, app: Application
) -> None:
    kid = kid_of(await sign_in(client, user.email))
    await act(app, "revoke", kid)

    for unknown in (kid, "", "\x01", "x" * 10_000):
        with pytest.raises(NotFound):
            await act(app, "revoke", unknown)

    trail = await read_table(app, AuditEvent)
    revoked = [event.details for event in trail if event.action == "auth.key_revoked"]
    assert revoked == [{"kid": kid}]


async def test_a_rotation_at_the_same_time_brings_no_revoked_key_back(
    client: AsyncClient, user: User, app: Application
) -> None:
    kid = kid_of(await sign_in(client, user.email))

    await asyncio.gather(
        *(act(app, "rotate") for _ in range(3)), act(app, "revoke", kid)
    )

    assert kid not in {key.kid for key in await act(app, "list_all")}


async def test_many_requests_make_one_small_statement_a_second(
    client: AsyncClient, user: User, app: Application
) -> None:
    tokens = await sign_in(client, user.email)
    let_a_second_pass(app)

    with recorded_statements(app.state.runtime.database) as statements:
        answers = [is_signed_in(client, tokens) for _ in range(20)]
        assert all(await asyncio.gather(*answers))
        assert await is_signed_in(client, tokens)

    key_reads = [sql for sql in statements if "signing_keys" in sql]
    assert len(key_reads) == 1
    assert "private_key" not in key_reads[0]


async def test_nothing_is_accepted_while_the_keys_can_not_be_looked_up(
    client: AsyncClient, user: User, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await sign_in(client, user.email)
    let_a_second_pass(app)
    loaded_at = app.state.runtime.tokens.loaded_at

    async def fail(*_: Any) -> Any:
        raise ServiceUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(app.state.runtime.database, "fetch", fail)
        calls = [client.get("/users/me", headers=bearer(tokens)) for _ in range(10)]
        answers = await asyncio.gather(*calls)

    assert {answer.status_code for answer in answers} == {503}
    assert app.state.runtime.tokens.loaded_at == loaded_at
    assert await is_signed_in(client, tokens)


async def test_a_key_is_looked_up_again_only_after_a_second(
    client: AsyncClient, user: User, app: Application
) -> None:
    """The bound that is promised: not longer, and not by each request."""
    tokens = await sign_in(client, user.email)
    app.state.runtime.tokens.loaded_at = time.monotonic() - RELOAD_SECONDS + 0.5
    with recorded_statements(app.state.runtime.database) as statements:
        assert await is_signed_in(client, tokens)
    assert not [sql for sql in statements if "signing_keys" in sql]

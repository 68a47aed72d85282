"""Signing keys of access tokens: published, rotated with an overlap, kept encrypted."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx import AsyncClient
from support import execute
from support_auth import bearer, is_signed_in, sign_in

from bedplate.core.clock import utc_now
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.auth import keys
from bedplate.modules.auth.keys import KeyService, load_keys
from bedplate.modules.auth.models import SigningKey
from bedplate.modules.users.models import User
from bedplate.testing.guards import recorded_statements
from bedplate.testing.plugin import client_for, running

JWKS = "http://test/.well-known/jwks.json"


@pytest.fixture(params=["EdDSA", "ES256"])
def setting_overrides(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"jwt_algorithm": request.param}


async def rotate(app: Application) -> None:
    runtime = app.state.runtime
    async with runtime.database.unit_of_work() as session:
        await KeyService(session, runtime.settings).rotate()


async def test_anybody_can_verify_a_token_with_the_published_keys(
    client: AsyncClient, user: User, app: Application
) -> None:
    token = (await sign_in(client, user.email))["access_token"]
    published = jwt.PyJWKSet.from_dict((await client.get(JWKS)).json())

    header = jwt.get_unverified_header(token)
    key = published[header["kid"]]
    claims = jwt.decode(token, key, audience="bedplate-api")

    assert header["alg"] == app.state.runtime.settings.jwt_algorithm
    assert claims["sub"] == str(user.id)


async def test_no_private_key_is_published_or_stored_in_plain(
    client: AsyncClient, app: Application
) -> None:
    (published,) = (await client.get(JWKS)).json()["keys"]
    assert "d" not in published
    async with app.state.runtime.database.engine.connect() as connection:
        (row,) = (await connection.execute(sa.select(SigningKey.private_key))).all()

    assert "PRIVATE KEY" not in row.private_key


async def test_tokens_outlive_a_rotation_in_every_process(
    client: AsyncClient, user: User, app: Application
) -> None:
    before = await sign_in(client, user.email)
    settings = app.state.runtime.settings
    async with (
        running(settings, modules=BUILT_IN) as twin,
        client_for(twin) as other_process,
    ):
        await rotate(app)
        await load_keys(app.state.runtime)
        after = await sign_in(client, user.email)

        first, second = (
            jwt.get_unverified_header(t["access_token"])["kid"] for t in (before, after)
        )
        assert first != second
        twin.state.runtime.tokens.loaded_at -= 2  # it may look for new keys again
        for caller in (client, other_process):
            assert await is_signed_in(caller, before)
            assert await is_signed_in(caller, after)
    assert len((await client.get(JWKS)).json()["keys"]) == 2


async def test_a_token_of_a_key_just_made_waits_for_it_and_is_not_refused(
    client: AsyncClient, user: User, app: Application
) -> None:
    settings = app.state.runtime.settings
    async with (
        running(settings, modules=BUILT_IN) as twin,
        client_for(twin) as other_process,
    ):
        await rotate(app)
        await load_keys(app.state.runtime)
        after = await sign_in(client, user.email)
        # The twin has just looked for keys, and does so once a second at most.
        twin.state.runtime.tokens.loaded_at = time.monotonic()

        answers = await asyncio.gather(
            *(is_signed_in(other_process, after) for _ in range(5))
        )

    assert answers == [True] * 5


async def test_unknown_keys_make_no_more_than_one_look_a_second(
    client: AsyncClient, user: User, app: Application
) -> None:
    token = (await sign_in(client, user.email))["access_token"]
    header, rest = token.split(".", 1)
    content = json.loads(urlsafe_b64decode(header + "=="))
    forged = [
        encoded({**content, "kid": f"unknown{n}"}).decode() + f".{rest}"
        for n in range(20)
    ]
    with recorded_statements(app.state.runtime.database) as statements:
        answers = [is_signed_in(client, {"access_token": t}) for t in forged]
        assert not any(await asyncio.gather(*answers))

    assert len([sql for sql in statements if "signing_keys" in sql]) == 1


async def test_every_process_publishes_a_new_key_at_once(
    client: AsyncClient, app: Application
) -> None:
    settings = app.state.runtime.settings
    async with (
        running(settings, modules=BUILT_IN) as twin,
        client_for(twin) as other_process,
    ):
        await rotate(app)
        for process in (app, twin):  # a second later
            process.state.runtime.tokens.loaded_at -= 1
        published = [(await c.get(JWKS)).json() for c in (client, other_process)]

    assert published[0] == published[1]
    assert len(published[0]["keys"]) == 2


@pytest.mark.parametrize("change", [{"alg": "none"}, {"alg": "HS256"}, {"kid": None}])
async def test_the_header_chooses_neither_algorithm_nor_key(
    client: AsyncClient, user: User, change: dict[str, Any]
) -> None:
    token = (await sign_in(client, user.email))["access_token"]
    header, claims, signature = token.split(".")
    content = json.loads(urlsafe_b64decode(header + "==")) | change
    headers = {name: value for name, value in content.items() if value is not None}
    changed = encoded(headers).decode()

    for forged in (f"{changed}.{claims}.{signature}", f"{changed}.{claims}."):
        assert not await is_signed_in(client, {"access_token": forged})
    assert await is_signed_in(client, {"access_token": token})


async def test_a_token_of_another_s_key_pair_is_refused(
    client: AsyncClient, user: User, app: Application
) -> None:
    token = (await sign_in(client, user.email))["access_token"]
    algorithm = app.state.runtime.settings.jwt_algorithm
    forged = jwt.encode(
        jwt.decode(token, options={"verify_signature": False}),
        key_pair(algorithm),
        algorithm=algorithm,
        headers={"kid": jwt.get_unverified_header(token)["kid"]},
    )

    assert not await is_signed_in(client, {"access_token": forged})


def key_pair(algorithm: str) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


async def test_a_retired_key_s_tokens_are_refused(
    client: AsyncClient, user: User, app: Application
) -> None:
    before = await sign_in(client, user.email)
    await rotate(app)
    retired = sa.update(SigningKey).where(SigningKey.retires_at.is_not(None))
    await execute(app, retired.values(retires_at=utc_now()))

    await load_keys(app.state.runtime)

    assert not await is_signed_in(client, before)
    assert len((await client.get(JWKS)).json()["keys"]) == 1


async def test_another_process_signs_with_the_new_key_within_a_second(
    client: AsyncClient, user: User, app: Application
) -> None:
    old = jwt.get_unverified_header((await sign_in(client, user.email))["access_token"])
    await rotate(app)

    app.state.runtime.tokens.loaded_at -= keys.RELOAD_SECONDS
    new = jwt.get_unverified_header((await sign_in(client, user.email))["access_token"])

    assert new["kid"] != old["kid"]


async def test_the_public_key_is_no_hmac_secret(
    client: AsyncClient, user: User, app: Application
) -> None:
    """Algorithm confusion (RFC 8725, section 2.1)."""
    token = (await sign_in(client, user.email))["access_token"]
    (key,) = app.state.runtime.tokens.keys
    pem = key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    forged = {"access_token": with_hmac(token, pem)}

    assert not await is_signed_in(client, forged)
    assert (await client.get("/users/me", headers=bearer(forged))).status_code == 401


def with_hmac(token: str, secret: bytes) -> str:
    """Sign the same claims with HS256, by hand: libraries refuse to."""
    header, claims, _ = token.split(".")
    content = json.loads(urlsafe_b64decode(header + "=="))
    unsigned = b".".join((encoded({**content, "alg": "HS256"}), claims.encode()))
    digest = hmac.digest(secret, unsigned, hashlib.sha256)
    return (unsigned + b"." + urlsafe_b64encode(digest).rstrip(b"=")).decode()


def encoded(part: dict[str, Any]) -> bytes:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")

import asyncio
import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
import sqlalchemy as sa
from httpx import AsyncClient, Response
from pwdlib.hashers.argon2 import Argon2Hasher
from support import Snapshot, execute, read_table
from uuid_utils.compat import uuid7

from bedplate.config import Settings
from bedplate.main import Application
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import PASSWORD, MakeUser, SignIn

CLAIMS = {"iss", "aud", "sub", "sid", "jti", "typ", "iat", "exp"}


verbose = pytest.mark.parametrize("setting_overrides", [{"log_level": "debug"}])


async def ask_for_token(
    client: AsyncClient, username: str, password: str = PASSWORD, **more: str
) -> Response:
    form = {"username": username, "password": password, **more}
    return await client.post("/auth/token", data=form)


async def whoami(client: AsyncClient, token: str) -> Response:
    return await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})


async def test_the_right_password_signs_in(client: AsyncClient, user: User) -> None:
    answer = await ask_for_token(client, user.email)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    granted = answer.json()
    assert granted["token_type"] == "bearer"
    assert granted["expires_in"] == 15 * 60
    me = await whoami(client, granted["access_token"])
    assert me.json()["id"] == str(user.id)


async def test_the_token_says_what_the_contract_says(
    client: AsyncClient, user: User, settings: Settings, app: Application
) -> None:
    token = (await ask_for_token(client, user.email)).json()["access_token"]
    (session,) = await read_table(app, UserSession)
    now = time.time()

    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert claims.keys() == CLAIMS
    assert claims["iss"] == settings.token_issuer
    assert (claims["sub"], claims["sid"]) == (str(user.id), str(session.id))
    assert now - 10 < claims["iat"] <= now
    assert claims["exp"] - claims["iat"] == 15 * 60


async def test_each_sign_in_is_a_session_of_its_own(
    client: AsyncClient, user: User, app: Application
) -> None:
    tokens = [
        (await ask_for_token(client, user.email)).json()["access_token"]
        for _ in range(2)
    ]
    claims = [jwt.decode(t, options={"verify_signature": False}) for t in tokens]

    assert claims[0]["sid"] != claims[1]["sid"]
    assert claims[0]["jti"] != claims[1]["jti"]
    sessions = await read_table(app, UserSession)
    assert [s.user_id for s in sessions] == [user.id, user.id]


@pytest.mark.parametrize("username", ["USER@Example.COM", "  user@example.com "])
async def test_the_address_is_found_whatever_its_case(
    client: AsyncClient, user: User, username: str
) -> None:
    assert (await ask_for_token(client, username)).status_code == 200


async def test_unknown_and_wrong_are_told_apart_by_nothing(
    client: AsyncClient, user: User, make_user: MakeUser, snapshot: Snapshot
) -> None:
    await make_user(email="imported@example.com", hashed_password="!unusable")
    before = await snapshot()
    answers = [
        await ask_for_token(client, user.email, "Wr0ng-password"),
        await ask_for_token(client, "nobody@example.com"),
        await ask_for_token(client, "no address at all"),
        await ask_for_token(client, "imported@example.com", "!unusable"),
    ]

    for answer in answers:
        assert_refused(answer, 401, "INVALID_CREDENTIALS")
    assert len({str(but_its_id(answer)) for answer in answers}) == 1
    assert await snapshot() == before


def but_its_id(answer: Response) -> tuple[Any, ...]:
    """All that a client sees of an answer, besides the id of its request."""
    error = {**answer.json()["error"], "request_id": None}
    headers = {**answer.headers, "x-request-id": None}
    return answer.status_code, error, headers


async def test_unknown_and_wrong_take_the_same_time(
    client: AsyncClient, user: User
) -> None:
    async def fastest(username: str) -> float:
        times = []
        for _ in range(6):
            started = time.perf_counter()
            await ask_for_token(client, username, "Wr0ng-password")
            times.append(time.perf_counter() - started)
        return min(times)

    ratio = await fastest("nobody@example.com") / await fastest(user.email)
    assert 0.4 < ratio < 2.5  # a skipped hash would make it 0.05


async def test_an_inactive_account_is_told_so_after_the_right_password_only(
    client: AsyncClient, make_user: MakeUser, app: Application
) -> None:
    user = await make_user(is_active=False)

    wrong = await ask_for_token(client, user.email, "Wr0ng-password")
    assert_refused(wrong, 401, "INVALID_CREDENTIALS")
    assert_refused(await ask_for_token(client, user.email), 403, "ACCOUNT_INACTIVE")
    assert await read_table(app, UserSession) == []


@pytest.mark.parametrize("setting_overrides", [{"require_verified_email": True}])
async def test_an_unverified_address_is_told_so_after_the_right_password_only(
    client: AsyncClient, make_user: MakeUser, app: Application
) -> None:
    user = await make_user()
    verified = await make_user(email_verified_at=datetime.now(UTC))

    wrong = await ask_for_token(client, user.email, "Wr0ng-password")
    assert_refused(wrong, 401, "INVALID_CREDENTIALS")
    assert_refused(await ask_for_token(client, user.email), 403, "EMAIL_NOT_VERIFIED")
    assert await read_table(app, UserSession) == []
    assert (await ask_for_token(client, verified.email)).status_code == 200


async def test_an_unverified_address_is_let_in_by_default(
    client: AsyncClient, user: User
) -> None:
    assert (await ask_for_token(client, user.email)).status_code == 200


# The form.


async def test_what_oauth2_clients_send_along_is_accepted(
    client: AsyncClient, user: User
) -> None:
    more = {
        "grant_type": "password",
        "scope": "",
        "client_id": "docs",
        "client_secret": "s3cret",
    }

    assert (await ask_for_token(client, user.email, **more)).status_code == 200


LONG = "x" * 3000
WRONG_FORMS = [
    ("username=&password=b", ["body.username"]),
    ("password=b", ["body.username"]),
    ("username=a", ["body.password"]),
    ("username=a&password=", ["body.password"]),
    ("", ["body.username", "body.password"]),
    ("username=a%00&password=b", ["body.username"]),
    ("username=a&password=b%00", ["body.password"]),
    (f"username={LONG}&password=b", ["body.username"]),
    (f"username=a&password={LONG}", ["body.password"]),
    (f"username=a&password={'x' * 129}", ["body.password"]),
    ("username=a&password=b&remember=1", ["body.remember"]),
    ("username=a&password=b&grant_type=client_credentials", ["body.grant_type"]),
    (f"username=a&password=b&scope={LONG}", ["body.scope"]),
    (f"username=a&password=b&client_id={LONG}", ["body.client_id"]),
    ("username=a&password=b&client_secret=%00", ["body.client_secret"]),
]


@verbose
async def test_a_wrong_form_is_refused_by_its_field_and_never_echoed(
    capfd: pytest.CaptureFixture[str], client: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for form, fields in WRONG_FORMS:
        answer = await client.post("/auth/token", content=form, headers=headers)

        assert_refused(answer, 422, "VALIDATION_ERROR", *fields)
        assert LONG[:200] not in answer.text
    assert await snapshot() == before
    logged = capfd.readouterr().err
    assert "/auth/token" in logged
    assert LONG[:200] not in logged


async def test_odd_forms_fit_no_account(client: AsyncClient, user: User) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for form in (
        b"username=%ff&password=%ff",
        b"username=\xff\xfe&password=\xff",
        b"username=%ED%A0%80&password=x",
        b"username=%F0%9F%98%80&password=%E2%80%AE",
        "username=%&password=%zz",
    ):
        answer = await client.post("/auth/token", content=form, headers=headers)
        assert_refused(answer, 401, "INVALID_CREDENTIALS")


async def test_other_media_types_are_refused(
    client: AsyncClient, user: User, snapshot: Snapshot
) -> None:
    before = await snapshot()
    form = {"username": user.email, "password": PASSWORD}
    raw = f"username={user.email}&password={PASSWORD}"
    answers = [
        await client.post("/auth/token", json=form),
        await client.post("/auth/token", data=form, files={"file": b"x"}),
        await client.post("/auth/token", content=raw),
        await client.post(
            "/auth/token", content=raw, headers={"Content-Type": "text/plain"}
        ),
    ]

    for answer in answers:
        assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert await snapshot() == before


@verbose
async def test_the_password_reaches_no_log(
    capfd: pytest.CaptureFixture[str], client: AsyncClient, user: User
) -> None:
    await ask_for_token(client, user.email)
    await ask_for_token(client, user.email, "Wr0ng-password")

    logged = capfd.readouterr().err
    assert "/auth/token" in logged
    assert PASSWORD not in logged
    assert "Wr0ng-password" not in logged


# The token.

Forge = Callable[..., str]


@pytest.fixture
def forge(settings: Settings) -> Forge:
    """Make a token with our own key, which is more than an attacker has."""

    def make(token: str, *, leave_out: str = "", **changes: Any) -> str:
        claims = jwt.decode(token, options={"verify_signature": False}) | changes
        claims.pop(leave_out, None)
        key = settings.key_for("access tokens")
        return jwt.encode(claims, key, algorithm="HS256")

    return make


async def test_a_token_remade_by_our_key_is_good(
    client: AsyncClient, user: User, forge: Forge
) -> None:
    """The control of the refusals below."""
    token = (await ask_for_token(client, user.email)).json()["access_token"]

    assert (await whoami(client, forge(token, jti="another"))).status_code == 200


async def test_a_token_of_another_make_is_refused(
    client: AsyncClient, user: User, other: User, forge: Forge, settings: Settings
) -> None:
    token = (await ask_for_token(client, user.email)).json()["access_token"]
    now = int(time.time())
    claims = jwt.decode(token, options={"verify_signature": False})
    key = settings.key_for("access tokens")
    forged = {
        "expired": forge(token, exp=now - 1),
        "expires now": forge(token, exp=now),
        "not yet": forge(token, nbf=now + 60),
        "issued later": forge(token, iat=now + 3600),
        "refresh": forge(token, typ="refresh"),
        "no typ": forge(token, typ=None),
        "other audience": forge(token, aud="bedplate-mail"),
        "other issuer": forge(token, iss="somebody"),
        "another's session": forge(token, sub=str(other.id)),
        "no such session": forge(token, sid=str(uuid7())),
        "no such user": forge(token, sub=str(uuid7())),
        "sub is not a UUID": forge(token, sub="1 OR 1=1"),
        "sid is not a UUID": forge(token, sid="x"),
        "sub is a number": forge(token, sid=7),
        "exp is not a number": forge(token, exp="never"),
        "unsigned": unsigned(token, "none"),
        "unsigned, in capitals": unsigned(token, "NONE"),
        "other key": jwt.encode(claims, "x" * 32, algorithm="HS256"),
        "empty signature": token.rpartition(".")[0] + ".",
        "other algorithm": jwt.encode(claims, key * 2, algorithm="HS512"),
        "our key, other algorithm": hs512_with_our_key(claims, key),
        "other payload": with_payload(token, {**claims, "sub": str(other.id)}),
        "two of three parts": token.rpartition(".")[0],
        "four parts": f"{token}.x",
        "empty": "",
        "no token": "null",
        "not ASCII": "é" * 10,
        "huge": "a" * 60_000,
    } | {f"without {claim}": forge(token, leave_out=claim) for claim in CLAIMS}

    for label, bad in forged.items():
        headers = {b"Authorization": f"Bearer {bad}".encode("latin-1")}
        answer = await client.get("/users/me", headers=headers)
        assert answer.status_code == 401, label
        assert_refused(answer, 401, "UNAUTHENTICATED")
    assert (await whoami(client, token)).status_code == 200


def hs512_with_our_key(claims: dict[str, Any], key: bytes) -> str:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        return jwt.encode(claims, key, algorithm="HS512")


def unsigned(token: str, algorithm: str) -> str:
    header = encoded({"alg": algorithm, "typ": "JWT"})
    return f"{header}.{token.split('.')[1]}."


def with_payload(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encoded(claims)}.{signature}"


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_a_token_with_any_character_changed_is_refused(
    client: AsyncClient, user: User
) -> None:
    token = (await ask_for_token(client, user.email)).json()["access_token"]
    assert (await whoami(client, token)).status_code == 200

    for position in range(0, len(token) - 1, 7):
        letter = "A" if token[position] != "A" else "B"
        changed = f"{token[:position]}{letter}{token[position + 1 :]}"
        assert_refused(await whoami(client, changed), 401, "UNAUTHENTICATED")


async def test_a_token_expires_also_when_it_is_known_already(
    client: AsyncClient, user: User, forge: Forge
) -> None:
    token = (await ask_for_token(client, user.email)).json()["access_token"]
    short = forge(token, exp=int(time.time()) + 2)

    assert (await whoami(client, short)).status_code == 200
    async with asyncio.timeout(5):
        while (answer := await whoami(client, short)).is_success:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the clock is what is waited for
    assert_refused(answer, 401, "UNAUTHENTICATED")
    assert jwt.decode(short, options={"verify_signature": False})["exp"] <= time.time()


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic dTpw", "Token {token}", "{token}", "", "bear"],
)
async def test_other_credentials_are_refused(as_user: AsyncClient, header: str) -> None:
    token = as_user.headers["Authorization"].partition(" ")[2]
    headers = {"Authorization": header.format(token=token)}

    answer = await as_user.get("/users/me", headers=headers)

    assert_refused(answer, 401, "UNAUTHENTICATED")


async def test_the_scheme_is_read_whatever_its_case(as_user: AsyncClient) -> None:
    token = as_user.headers["Authorization"].partition(" ")[2]
    headers = {"Authorization": f"bEaReR {token}"}

    assert (await as_user.get("/users/me", headers=headers)).status_code == 200


# What acts on the very next request, with the token verified and remembered before.


async def test_deactivation_acts_on_the_next_request(
    as_user: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    assert (await as_user.get("/users/me")).status_code == 200
    await as_admin.post(f"/users/{user.id}/deactivate")

    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")


async def test_a_role_change_acts_on_the_next_request(
    as_user: AsyncClient, as_admin: AsyncClient, user: User, admin: User
) -> None:
    assert_refused(await as_user.get("/users"), 403, "FORBIDDEN")
    await as_admin.patch(f"/users/{user.id}", json={"role": "admin"})
    assert (await as_user.get("/users")).status_code == 200

    await as_user.patch(f"/users/{admin.id}", json={"role": "user"})
    assert_refused(await as_admin.get("/users"), 403, "FORBIDDEN")
    assert (await as_admin.get("/users/me")).json()["role"] == "user"


async def test_a_session_s_end_acts_on_the_next_request_and_on_it_alone(
    as_user: AsyncClient, user: User, app: Application, sign_in: SignIn
) -> None:
    elsewhere = await sign_in(user.id)
    assert (await as_user.get("/users/me")).status_code == 200
    session = session_of(as_user)
    await execute(app, sa.delete(UserSession).where(UserSession.id == session))

    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")
    assert (await elsewhere.get("/users/me")).status_code == 200


async def test_a_session_expires(as_user: AsyncClient, app: Application) -> None:
    assert (await as_user.get("/users/me")).status_code == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    await execute(app, sa.update(UserSession).values(expires_at=past))

    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")


def session_of(client: AsyncClient) -> UUID:
    token = client.headers["Authorization"].partition(" ")[2]
    return UUID(jwt.decode(token, options={"verify_signature": False})["sid"])


# The hash.


async def test_a_cheaper_hash_is_replaced_at_the_next_sign_in(
    client: AsyncClient, make_user: MakeUser, app: Application
) -> None:
    cheap = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    user = await make_user(hashed_password=cheap)

    await ask_for_token(client, user.email, "Wr0ng-password")
    assert await stored_hash(app) == cheap
    assert (await ask_for_token(client, user.email)).status_code == 200
    replaced = await stored_hash(app)
    assert replaced.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await ask_for_token(client, user.email)).status_code == 200
    assert await stored_hash(app) == replaced


async def stored_hash(app: Application) -> str:
    (user,) = await read_table(app, User)
    return str(user.hashed_password)

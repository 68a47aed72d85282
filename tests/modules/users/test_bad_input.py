"""Every field of every body, with everything that clients get wrong."""

import json
from typing import Any

import pytest
from httpx import AsyncClient, Response
from support import Clients, Snapshot

from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused

SIGN_UP: dict[str, Any] = {
    "email": "new@example.com",
    "name": "New One",
    "password": "Correct-h0rse",
    "role": "user",
}
# It occurs in none of our names and messages: if it is answered, it was echoed.
MARK = "zqxj"
JSON = {"Content-Type": "application/json"}

NO_STRINGS: list[Any] = [None, 7, -1.5, True, [MARK], {MARK: MARK}, [[[[]]]], 10**18]
NEVER_STORED = ["", f"{MARK}\x00", f"\x00{MARK}"]
WRONG_EMAILS = [
    *NO_STRINGS,
    *NEVER_STORED,
    MARK,
    f"{MARK}@",
    f"@{MARK}.com",
    f"{MARK}@localhost",
    f"{MARK}@example",
    f"{MARK}@@example.com",
    f"{MARK} x@example.com",
    f"{MARK}@exa mple.com",
    f"{MARK}\n@example.com",
    f"{MARK}@example.com\r\nBcc: all@example.com",
    f"{MARK}\u202e@example.com",
    f"{MARK}\u200b@example.com",
    f"Ann <{MARK}@example.com>",
    f"{MARK}.@example.com",
    f'"{MARK} x"@example.com',
    f"{MARK}@[127.0.0.1]",
    f"{MARK}@{'x' * 250}.com",
    MARK * 200_000,
]
WRONG_NAMES = [
    *NO_STRINGS,
    *NEVER_STORED,
    "   ",
    "\u2003\u00a0",
    f"{MARK}\nx",
    f"{MARK}\x1b[31m",
    f"{MARK}\x7f",
    MARK + "x" * 97,
    "\U0001f600" * 101,
    MARK * 200_000,
]
WRONG_PASSWORDS = [
    *NO_STRINGS,
    *NEVER_STORED,
    "Sh0rter",
    f"no-upper-{MARK}-1",
    f"No-digit-{MARK}",
    f"Zq0x-{MARK}\x00",
    "Aa1" + MARK * 32,
    "Aa1" + MARK * 200_000,
]
WRONG_ROLES = [*NO_STRINGS, *NEVER_STORED, MARK, "ADMIN", " admin", MARK * 200_000]
WRONG = {
    "email": WRONG_EMAILS,
    "name": WRONG_NAMES,
    "password": WRONG_PASSWORDS,
    "role": WRONG_ROLES,
}


def post_user(user: User, field: str, value: Any) -> tuple[str, str, Any]:
    return "POST", "/users", {**SIGN_UP, field: value}


def patch_user(user: User, field: str, value: Any) -> tuple[str, str, Any]:
    return "PATCH", f"/users/{user.id}", {"name": "Kept", field: value}


def patch_me(user: User, field: str, value: Any) -> tuple[str, str, Any]:
    return "PATCH", "/users/me", {field: value}


@pytest.mark.parametrize(
    ("make_request", "field"),
    [
        *[(post_user, field) for field in WRONG],
        *[(patch_user, field) for field in ("email", "name", "role")],
        (patch_me, "name"),
    ],
)
async def test_a_wrong_value_is_refused_by_its_field_and_never_echoed(
    capfd: pytest.CaptureFixture[str],
    make_request: Any,
    field: str,
    clients: Clients,
    user: User,
    snapshot: Snapshot,
) -> None:
    before = await snapshot()
    for value in WRONG[field]:
        method, path, body = make_request(user, field, value)
        answer = await clients["admin"].request(
            method, path, content=as_json(body), headers=JSON
        )
        assert_value_refused(answer, f"body.{field}", value)
    assert await snapshot() == before
    logged = capfd.readouterr().err
    assert "/api/v1/users" in logged
    assert MARK not in logged


def as_json(body: Any) -> bytes:
    return json.dumps(body).encode()


def assert_value_refused(answer: Response, field: str, value: Any) -> None:
    if isinstance(value, str) and len(value) > 500_000:
        assert answer.status_code == 422, "within the limit of a body"
    assert_refused(answer, 422, "VALIDATION_ERROR", field)
    assert MARK not in answer.text


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"log_level": "debug"}


@pytest.mark.parametrize("field", ["email", "name", "password"])
async def test_a_missing_field_is_refused(
    client: AsyncClient, snapshot: Snapshot, field: str
) -> None:
    before = await snapshot()
    body = {name: value for name, value in SIGN_UP.items() if name != field}

    answer = await client.post("/users", json=body)

    assert_refused(answer, 422, "VALIDATION_ERROR", f"body.{field}")
    assert await snapshot() == before


async def test_every_wrong_field_is_named_at_once(client: AsyncClient) -> None:
    answer = await client.post("/users", json={"email": 1, "password": "x", "more": 2})

    fields = ["body.email", "body.name", "body.password", "body.more"]
    assert_refused(answer, 422, "VALIDATION_ERROR", *fields)


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "/me")])
async def test_an_unknown_field_is_refused(
    as_user: AsyncClient, snapshot: Snapshot, method: str, path: str
) -> None:
    before = await snapshot()
    valid = SIGN_UP if method == "POST" else {"name": "X"}
    for field in ["is_admin", "is_active", "id", "Email", "", "\u2028"]:
        body = {**valid, field: MARK}
        answer = await as_user.request(method, f"/users{path}", json=body)

        assert_refused(answer, 422, "VALIDATION_ERROR", f"body.{field}")
        assert MARK not in answer.text
    assert await snapshot() == before


async def test_a_long_unknown_name_is_cut(client: AsyncClient) -> None:
    answer = await client.post("/users", json={**SIGN_UP, "x" * 100_000: 1})

    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize("field", ["email", "name", "password", "role", "unknown"])
async def test_text_that_no_database_holds_is_refused(
    client: AsyncClient, snapshot: Snapshot, field: str
) -> None:
    before = await snapshot()
    for escape in (rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"\u0000"):
        raw = as_json({**SIGN_UP, field: "@@"}).replace(b"@@", b"Zq0xjjjj" + escape)
        answer = await client.post("/users", content=raw, headers=JSON)

        (blamed,) = fields_of(answer)
        assert blamed in ("body", f"body.{field}")
        assert_refused(answer, 422, "VALIDATION_ERROR", blamed)
        assert "Zq0x" not in answer.text
    assert await snapshot() == before


def fields_of(answer: Response) -> list[str]:
    return [detail["field"] for detail in answer.json()["error"]["details"]]


BROKEN_JSON = {
    "nothing": b"",
    "blank": b" \n",
    "cut": b'{"email": "new@exam',
    "single quotes": b"{'email': 'zqxj'}",
    "trailing comma": b'{"name": "zqxj",}',
    "two values": b'{"name": "zqxj"} {}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "too large a number": b'{"name": 1e400}',
    "a number of 5000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "invalid UTF-8": b'{"name": "zqxj\xff"}',
    "Latin-1": '{"name": "zqxjé"}'.encode("latin-1"),
    "UTF-16": '{"name": "zqxj"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "zqxj"}',
    "an overlong NUL": b'{"name": "zqxj\xc0\x80"}',
    "a surrogate in UTF-8": b'{"name": "zqxj\xed\xa0\x80"}',
    "a bare control character": b'{"name": "zqxj\x01"}',
    "nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"name":' * 50_000 + b"1" + b"}" * 50_000,
    "nested and cut": b"[" * 500_000,
    "null": b"null",
    "a list": b'["zqxj"]',
    "a string": b'"zqxj"',
    "a number": b"1",
}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/users"), ("PATCH", "/users/me")]
)
async def test_a_body_that_is_no_json_object_is_refused(
    capfd: pytest.CaptureFixture[str],
    as_user: AsyncClient,
    snapshot: Snapshot,
    method: str,
    path: str,
) -> None:
    before = await snapshot()
    for label, raw in BROKEN_JSON.items():
        answer = await as_user.request(method, path, content=raw, headers=JSON)

        assert_refused(answer, 422, "VALIDATION_ERROR", "body")
        assert MARK not in answer.text, label
    assert await snapshot() == before
    logged = capfd.readouterr().err
    assert "/api/v1/users" in logged
    assert MARK not in logged


async def test_nesting_within_json_s_limits_is_refused_by_its_field(
    client: AsyncClient,
) -> None:
    raw = as_json(SIGN_UP).replace(b'"New One"', b"[" * 900 + b"]" * 900)
    escaped = raw.replace(b"[]", rb'["\ud83d\ude00"]')

    for body in (raw, escaped):
        answer = await client.post("/users", content=body, headers=JSON)
        assert_refused(answer, 422, "VALIDATION_ERROR", "body.name")


async def test_a_repeated_key_counts_once_and_the_last_one_wins(
    client: AsyncClient,
) -> None:
    raw = as_json(SIGN_UP).replace(b'"name":', b'"name": 1, "name":')

    assert (await client.post("/users", content=raw, headers=JSON)).json()[
        "name"
    ] == "New One"


ODD_NAMES = [
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "e\u0301" * 50,
    "\U0001f600" * 100,
    "محمد",
    "O'Brien; DROP TABLE users;--",
    "<script>alert(1)</script>",
    "{{7*7}}%s%n\\",
]


async def test_odd_names_are_kept_to_the_letter(as_user: AsyncClient) -> None:
    for name in ODD_NAMES:
        answer = await as_user.patch("/users/me", json={"name": name})

        assert (answer.status_code, answer.json()["name"]) == (200, name)
        assert (await as_user.get("/users/me")).json()["name"] == name


@pytest.mark.parametrize("name", ["\u202eevil", "a\u2028b", "Visit evil.example.com"])
async def test_a_name_that_could_deceive_is_refused(
    client: AsyncClient, as_user: AsyncClient, name: str
) -> None:
    sign_up = {"email": "new@example.com", "name": name, "password": "Passw0rd-1"}

    for answer in (
        await client.post("/users", json=sign_up),
        await as_user.patch("/users/me", json={"name": name}),
    ):
        assert_refused(answer, 422, "VALIDATION_ERROR", "body.name")


async def test_a_paired_surrogate_escape_is_one_character(as_user: AsyncClient) -> None:
    raw = rb'{"name": "\ud83d\ude00"}'
    answer = await as_user.patch("/users/me", content=raw, headers=JSON)

    assert answer.json()["name"] == "\U0001f600"

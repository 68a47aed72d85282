"""What holds for every answer: the envelope, request ids, limits, media types."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import HTTPException
from httpx import AsyncClient
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import Snapshot

from bedplate.core.errors import Conflict
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.routing import Router
from bedplate.testing.answers import assert_refused
from bedplate.testing.plugin import API

SIGN_UP = {"email": "new@example.com", "name": "New", "password": "Correct-h0rse"}
LIMIT = 2048

small_bodies = pytest.mark.parametrize("setting_overrides", [{"max_body_bytes": LIMIT}])
both_stacks = pytest.mark.parametrize(
    "setting_overrides",
    [{"compiled_routes": True}, {"compiled_routes": False}],
    ids=["compiled", "stock"],
)


@pytest.mark.parametrize(
    "path",
    ["/nope", "/users/", "/users/me/", "/users//me", "/USERS", "/", "", "/users/a%2Fb"],
)
async def test_an_unknown_path_is_not_found(as_admin: AsyncClient, path: str) -> None:
    assert_refused(await as_admin.get(path), 404, "NOT_FOUND")


async def test_outside_the_api_an_unknown_path_is_not_found(
    client: AsyncClient,
) -> None:
    for path in (
        "/",
        "/nope",
        "/api",
        "/api/v2/users",
        "/health",
        "/docs/assets/no.js",
    ):
        assert_refused(await client.get(f"http://test{path}"), 404, "NOT_FOUND")


ALLOWED = {
    "/users": {"GET", "POST"},
    "/users/me": {"GET", "PATCH", "DELETE"},
    "/users/{user}": {"GET", "PATCH", "DELETE"},
    "/users/{user}/activate": {"POST"},
    "/users/{user}/deactivate": {"POST"},
    "/auth/token": {"POST"},
}


@both_stacks
async def test_a_wrong_method_is_told_every_right_one(
    as_admin: AsyncClient, user: User
) -> None:
    for path, allowed in ALLOWED.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X"} - allowed:
            answer = await as_admin.request(method, path.format(user=user.id))

            assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
            assert set(answer.headers["allow"].split(", ")) == allowed


@both_stacks
async def test_foreign_media_types_are_refused(
    as_user: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    body = b'{"name": "X"}'
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/xml",
        "text/json",
        "json",
        "*/*",
        "",
    ):
        headers = {"Content-Type": media_type}
        answer = await as_user.patch("/users/me", content=body, headers=headers)
        assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    untyped = await as_user.patch("/users/me", content=body)
    assert_refused(untyped, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert await snapshot() == before


@both_stacks
async def test_json_s_media_types_are_accepted(as_user: AsyncClient) -> None:
    for number, media_type in enumerate(
        (
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/merge-patch+json",
        )
    ):
        body = b'{"name": "%d"}' % number
        headers = {"Content-Type": media_type}
        answer = await as_user.patch("/users/me", content=body, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (200, str(number))


# Bodies that are too large.


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 256):
        yield b"x" * 256


async def endless(sent: list[int]) -> AsyncIterator[bytes]:
    for number in range(100_000):
        sent.append(number)
        yield b"x" * 256


@pytest.mark.parametrize(
    "setting_overrides",
    [
        {"max_body_bytes": LIMIT, "compiled_routes": True},
        {"max_body_bytes": LIMIT, "compiled_routes": False},
    ],
    ids=["compiled", "stock"],
)
async def test_a_body_over_the_limit_is_refused(
    client: AsyncClient, as_user: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    json_body = {"Content-Type": "application/json"}
    form_body = {"Content-Type": "application/x-www-form-urlencoded"}
    sent: list[int] = []
    answers = [
        await client.post("/users", json={**SIGN_UP, "name": "x" * LIMIT}),
        await as_user.patch("/users/me", json={"name": "x" * LIMIT}),
        await client.post("/auth/token", data={"username": "x" * LIMIT}),
        await client.post("/users", content=chunks(LIMIT + 256), headers=json_body),
        await client.post(
            "/auth/token", content=chunks(LIMIT + 256), headers=form_body
        ),
        await client.post("/users", content=endless(sent), headers=json_body),
        await client.post("/nope", content=b"x" * (LIMIT + 1)),
    ]

    for answer in answers:
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert len(sent) < 20  # it was not read to its end
    assert await snapshot() == before


@small_bodies
async def test_a_body_of_just_the_limit_is_read(client: AsyncClient) -> None:
    body = b'{"name": "x"}'.ljust(LIMIT)
    headers = {"Content-Type": "application/json"}

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    for content in (body, in_chunks()):
        answer = await client.post("/users", content=content, headers=headers)
        fields = ["body.email", "body.password"]
        assert_refused(answer, 422, "VALIDATION_ERROR", *fields)


# Request ids.


async def test_a_caller_s_request_id_is_kept_on_every_answer(
    client: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    headers = {"X-Request-ID": "trace-7f/~"}
    answers = [
        await as_admin.get("/users/me", headers=headers),
        await as_admin.delete(f"/users/{user.id}", headers=headers),
        await client.get("/users/me", headers=headers),
        await client.get("/nope", headers=headers),
        await client.put("/users", headers=headers),
        await client.post("/users", json={}, headers=headers),
        await client.post("/users", content=b"x" * (1 << 21), headers=headers),
        await client.get("http://test/health/live", headers=headers),
    ]

    assert {a.headers["x-request-id"] for a in answers} == {"trace-7f/~"}
    for answer in answers:
        if answer.is_error:
            assert answer.json()["error"]["request_id"] == "trace-7f/~"


async def test_each_request_without_an_id_gets_its_own(client: AsyncClient) -> None:
    answers = [await client.get("/users/me") for _ in range(3)]

    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(UUID(id_) for id_ in ids)


@given(sent=st.binary(max_size=140))
@example(b"a" * 128)
@example(b"a" * 129)
@example(b"")
@example(b"a b")
@example(b"a\xff")
@example(b"~!")
@hypothesis_settings(max_examples=60)
async def test_only_visible_ascii_of_128_characters_is_kept_as_an_id(
    client: AsyncClient, sent: bytes
) -> None:
    answer = await client.get("/users/me", headers={b"X-Request-ID": sent})

    acceptable = re.fullmatch(rb"[!-~]{1,128}", sent) is not None
    given_back = answer.headers["x-request-id"]
    assert (given_back.encode("latin-1") == sent) is acceptable
    assert given_back == answer.json()["error"]["request_id"]


# Bugs.

router = Router()


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret cause")


@router.get("/conflict")
async def conflict() -> None:
    raise Conflict


@router.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "secret cause", {"X-Pot": "tea"})


@router.get("/no-answer", response_model=int)
async def no_answer() -> Any:
    return "secret cause"


@pytest.fixture
def broken_client(app: Application) -> AsyncClient:
    app.include_router(router, prefix="/api/v1")
    # The stock stack raises after it has answered, for the server to log.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url=API)


@both_stacks
@pytest.mark.parametrize("path", ["/broken", "/no-answer"])
async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(
    capfd: pytest.CaptureFixture[str], broken_client: AsyncClient, path: str
) -> None:
    answer = await broken_client.get(path, headers={"X-Request-ID": "bug-1"})

    assert_refused(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert "bug-1" in logged


@both_stacks
async def test_errors_without_a_name_have_the_envelope_too(
    broken_client: AsyncClient,
) -> None:
    teapot = await broken_client.get("/teapot")

    assert_refused(await broken_client.get("/conflict"), 409, "CONFLICT")
    assert_refused(teapot, 418, "IM_A_TEAPOT")
    assert teapot.headers["x-pot"] == "tea"
    assert "secret" not in teapot.text


async def test_security_headers_stand_on_every_answer(
    client: AsyncClient, broken_client: AsyncClient
) -> None:
    answers = [
        await client.get("/users/me"),
        await client.get("/nope"),
        await client.get("http://test/health/live"),
        await client.get("http://test/docs"),
        await broken_client.get("/broken"),
    ]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_hostile_bodies_are_refused_quickly(client: AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    hostile = [
        b"[" * 900_000,
        b'{"a":' * 150_000,
        b"{" + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}",
        b'{"email": "' + b"a" * 900_000 + b'@example.com"}',
        b'{"email": "' + b"a@" * 450_000 + b'"}',
        b'{"password": "' + rb"\ud83d\ude00" * 80_000 + b'"}',
        b'{"name": "' + b" " * 900_000 + b'x"}',
        b'{"name": 1' + b"0" * 900_000 + b"}",
    ]
    for body in hostile:
        started = time.process_time()
        answer = await client.post("/users", content=body, headers=headers)

        assert answer.status_code == 422
        assert time.process_time() - started < 2, body[:20]
        assert len(answer.content) < 100_000, body[:20]

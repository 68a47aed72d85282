"""Every response has the envelope, a request id, limits and checked media types."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import HTTPException, Response
from httpx import AsyncClient
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException as StarletteHTTPException
from support import Snapshot

from bedplate.api.routing import Router
from bedplate.core.errors import (
    BadRequest,
    Conflict,
    InternalError,
    ServiceUnavailable,
)
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.schemas import Schema
from bedplate.testing.assertions import assert_refused
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
async def test_a_wrong_method_gets_every_allowed_one(
    as_admin: AsyncClient, user: User
) -> None:
    for path, allowed in ALLOWED.items():
        expected = allowed | ({"HEAD"} if "GET" in allowed else set())
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "X"} - allowed:
            response = await as_admin.request(method, path.format(user=user.id))

            assert_refused(response, 405, "METHOD_NOT_ALLOWED")
            assert set(response.headers["allow"].split(", ")) == expected


@both_stacks
async def test_other_media_types_are_rejected(
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
        response = await as_user.patch("/users/me", content=body, headers=headers)
        assert_refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    untyped = await as_user.patch("/users/me", content=body)
    assert_refused(untyped, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert await snapshot() == before


@both_stacks
async def test_json_media_types_are_accepted(as_user: AsyncClient) -> None:
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
        response = await as_user.patch("/users/me", content=body, headers=headers)
        assert (response.status_code, response.json()["name"]) == (200, str(number))


# Bodies that are too large


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 256):
        yield b"x" * 256


async def endless(pieces: list[int]) -> AsyncIterator[bytes]:
    for number in range(100_000):
        pieces.append(number)
        yield b"x" * 256


@pytest.mark.parametrize(
    "setting_overrides",
    [
        {"max_body_bytes": LIMIT, "compiled_routes": True},
        {"max_body_bytes": LIMIT, "compiled_routes": False},
    ],
    ids=["compiled", "stock"],
)
async def test_a_body_over_the_limit_is_rejected(
    client: AsyncClient, as_user: AsyncClient, snapshot: Snapshot
) -> None:
    before = await snapshot()
    json_body = {"Content-Type": "application/json"}
    form_body = {"Content-Type": "application/x-www-form-urlencoded"}
    pieces: list[int] = []
    responses = [
        await client.post("/users", json={**SIGN_UP, "name": "x" * LIMIT}),
        await as_user.patch("/users/me", json={"name": "x" * LIMIT}),
        await client.post("/auth/token", data={"username": "x" * LIMIT}),
        await client.post("/users", content=chunks(LIMIT + 256), headers=json_body),
        await client.post(
            "/auth/token", content=chunks(LIMIT + 256), headers=form_body
        ),
        await client.post("/users", content=endless(pieces), headers=json_body),
        await client.post("/nope", content=b"x" * (LIMIT + 1)),
    ]

    for response in responses:
        assert_refused(response, 413, "PAYLOAD_TOO_LARGE")
    assert len(pieces) < 20  # the server stopped reading
    assert await snapshot() == before


@small_bodies
async def test_a_body_of_exactly_the_limit_is_accepted(client: AsyncClient) -> None:
    body = b'{"name": "x"}'.ljust(LIMIT)
    headers = {"Content-Type": "application/json"}

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    for content in (body, in_chunks()):
        response = await client.post("/users", content=content, headers=headers)
        fields = ["body.email", "body.password"]
        assert_refused(response, 422, "VALIDATION_ERROR", *fields)


# Request ids


async def test_a_client_s_request_id_is_on_every_response(
    client: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    headers = {"X-Request-ID": "trace-7f/~"}
    responses = [
        await as_admin.get("/users/me", headers=headers),
        await as_admin.delete(f"/users/{user.id}", headers=headers),
        await client.get("/users/me", headers=headers),
        await client.get("/nope", headers=headers),
        await client.put("/users", headers=headers),
        await client.post("/users", json={}, headers=headers),
        await client.post("/users", content=b"x" * (1 << 21), headers=headers),
        await client.get("http://test/health/live", headers=headers),
    ]

    assert {a.headers["x-request-id"] for a in responses} == {"trace-7f/~"}
    for response in responses:
        if response.is_error:
            assert response.json()["error"]["request_id"] == "trace-7f/~"


async def test_each_request_without_an_id_gets_its_own(client: AsyncClient) -> None:
    responses = [await client.get("/users/me") for _ in range(3)]

    ids = {response.headers["x-request-id"] for response in responses}
    assert len(ids) == 3
    assert all(UUID(id_) for id_ in ids)


@given(request_id=st.binary(max_size=140))
@example(b"a" * 128)
@example(b"a" * 129)
@example(b"")
@example(b"a b")
@example(b"a\xff")
@example(b"~!")
@hypothesis_settings(max_examples=60)
async def test_only_128_visible_ascii_characters_are_accepted_as_an_id(
    client: AsyncClient, request_id: bytes
) -> None:
    response = await client.get("/users/me", headers={b"X-Request-ID": request_id})

    acceptable = re.fullmatch(rb"[!-~]{1,128}", request_id) is not None
    echoed = response.headers["x-request-id"]
    assert (echoed.encode("latin-1") == request_id) is acceptable
    assert echoed == response.json()["error"]["request_id"]


# Bugs

router = Router()


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret cause")


@router.get("/conflict")
async def conflict() -> None:
    raise Conflict


RAISED: dict[str, StarletteHTTPException] = {
    "text": HTTPException(409, "Sold out: three are left", {"X-Left": "3"}),
    "own status": HTTPException(418, "Short and stout", {"X-Pot": "tea"}),
    "unknown status": HTTPException(499, "Gone away"),
    "none": HTTPException(409),
    "mapping": HTTPException(409, {"code": "SOLD_OUT", "message": "None", "left": 3}),
    "tree": HTTPException(422, {"lines": [{"sku": ["Unknown", "Old"]}]}),
    "fastapi": HTTPException(
        422, [{"loc": ["body", "sku"], "msg": "No", "input": "x"}]
    ),
    "ours": HTTPException(422, [{"field": "body.sku", "message": "No"}]),
    "texts": HTTPException(400, ["one", "two"]),
    "many": HTTPException(400, ["x"] * 1000),
    "empty": HTTPException(400, {}),
    "not a code": HTTPException(400, {"code": "sold out", "message": ["no text"]}),
    "cause": HTTPException(500, "secret cause", {"X-Kept": "yes"}),
    "gateway": HTTPException(502, {"message": "secret cause"}),
    "unavailable": HTTPException(503, "secret cause", {"Retry-After": "7"}),
    "limited": HTTPException(429, "Slower"),
    "nothing": HTTPException(304, headers={"ETag": '"x"'}),
    "elsewhere": HTTPException(307, headers={"Location": "/there"}),
    "starlette": StarletteHTTPException(409, "By Starlette"),
}


@router.get("/raise/{name}")
async def raise_(name: str) -> None:
    raise RAISED[name]


@router.get("/no-answer", response_model=int)
async def no_answer() -> Any:
    return "secret cause"


@pytest.fixture
def broken_client(app: Application) -> AsyncClient:
    app.include_router(router, prefix="/api/v1")
    # FastAPI's own stack raises after its response, so that the server logs the error.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url=API)


@both_stacks
@pytest.mark.parametrize("path", ["/broken", "/no-answer"])
async def test_a_bug_is_logged_and_not_shown_to_the_client(
    capfd: pytest.CaptureFixture[str], broken_client: AsyncClient, path: str
) -> None:
    response = await broken_client.get(path, headers={"X-Request-ID": "bug-1"})

    assert_refused(response, 500, "INTERNAL_ERROR")
    assert "secret" not in response.text
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert "bug-1" in logged


@both_stacks
async def test_generic_errors_have_the_envelope_too(
    broken_client: AsyncClient,
) -> None:
    assert_refused(await broken_client.get("/conflict"), 409, "CONFLICT")


EXPECTED: dict[str, tuple[int, str, str, Any]] = {
    "text": (409, "CONFLICT", "Sold out: three are left", None),
    "own status": (418, "IM_A_TEAPOT", "Short and stout", None),
    "unknown status": (499, "ERROR_499", "Gone away", None),
    "none": (409, "CONFLICT", Conflict.message, None),
    "mapping": (409, "SOLD_OUT", "None", [("left", "3")]),
    "tree": (
        422,
        "VALIDATION_ERROR",
        "Validation failed",
        [("lines.sku", "Unknown"), ("lines.sku", "Old")],
    ),
    "fastapi": (422, "VALIDATION_ERROR", "Validation failed", [("body.sku", "No")]),
    "ours": (422, "VALIDATION_ERROR", "Validation failed", [("body.sku", "No")]),
    "texts": (400, "BAD_REQUEST", "", [("detail", "one"), ("detail", "two")]),
    "many": (400, "BAD_REQUEST", "", [("detail", "x")] * 50),
    "empty": (400, "BAD_REQUEST", "", None),
    "not a code": (
        400,
        "BAD_REQUEST",
        "",
        [("code", "sold out"), ("message", "no text")],
    ),
    "cause": (500, "INTERNAL_ERROR", InternalError.message, None),
    "gateway": (502, "BAD_GATEWAY", "Bad Gateway", None),
    "unavailable": (503, "SERVICE_UNAVAILABLE", ServiceUnavailable.message, None),
    "limited": (429, "RATE_LIMITED", "Slower", None),
    "starlette": (409, "CONFLICT", "By Starlette", None),
}


@both_stacks
async def test_a_framework_s_exception_keeps_its_text_below_500(
    broken_client: AsyncClient,
) -> None:
    for name, (status, code, message, details) in EXPECTED.items():
        response = await broken_client.get(f"/raise/{name}")

        error = response.json()["error"]
        shown_details = error["details"]
        if shown_details is not None:
            shown_details = [
                (detail["field"], detail["message"]) for detail in shown_details
            ]
        assert (response.status_code, error["code"], shown_details) == (
            status,
            code,
            details,
        ), name
        assert error["message"] == (message or BadRequest.message), name
        assert "secret" not in response.text
        for header, value in (RAISED[name].headers or {}).items():
            assert response.headers[header] == value


@both_stacks
async def test_an_exception_with_a_status_below_400_has_no_envelope(
    broken_client: AsyncClient,
) -> None:
    unchanged = await broken_client.get("/raise/nothing")
    elsewhere = await broken_client.get("/raise/elsewhere")

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == '"x"'
    assert "content-length" not in unchanged.headers
    assert (elsewhere.status_code, elsewhere.headers["location"]) == (307, "/there")
    assert (await broken_client.get("/raise/limited")).headers["retry-after"] == "1"


async def test_security_headers_are_on_every_response(
    client: AsyncClient, broken_client: AsyncClient
) -> None:
    responses = [
        await client.get("/users/me"),
        await client.get("/nope"),
        await client.get("http://test/health/live"),
        await client.get("http://test/docs"),
        await broken_client.get("/broken"),
    ]

    for response in responses:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "strict-transport-security" not in response.headers  # not over TLS


MEGABYTE = (1 << 20) - 100
JSON_BODY = "application/json"
FORM_BODY = "application/x-www-form-urlencoded"


def filled(start: bytes, unit: bytes, end: bytes = b"") -> bytes:
    """Return a megabyte of a repeated unit, with a number for each `%d` in it."""
    room = MEGABYTE - len(start) - len(end)
    if b"%d" in unit:
        parts = [unit % number for number in range(room // (len(unit) + 4))]
        return start + b"".join(parts) + end
    return start + unit * (room // len(unit)) + end


HOSTILE = {
    "unknown names": filled(b'{"x":0', b',"%d":0', b"}"),
    "unknown names with text": filled(b'{"x":0', rb',"%d\u00e9\ud83d\ude00":0', b"}"),
    "one long name": b'{"' + b"x" * MEGABYTE + b'":1}',
    "deep lists": b"[" * MEGABYTE,
    "deep objects": filled(b"", b'{"a":'),
    "many lists": filled(b"[[]", b",[]", b"]"),
    "lists in lists": filled(b"[[[]]", b",[[]]", b"]"),
    "many objects": filled(b"[{}", b",{}", b"]"),
    "huge number": b'{"name": 1' + b"0" * MEGABYTE + b"}",
    "huge numbers": filled(b"[1", b"," + b"9" * 4300, b"]"),
    "no number": b'{"name": 1e400}',
    "long fraction": b'{"name": 1.' + b"9" * MEGABYTE + b"}",
    "long email": b'{"email": "' + b"a" * 900_000 + b'@example.com"}',
    "many ats": b'{"email": "' + b"a@" * 450_000 + b'"}',
    "blanks": b'{"name": "' + b" " * 900_000 + b'x"}',
    "pairs": filled(b'{"password": "', rb"\ud83d\ude00", b'"}'),
    "texts and a pair": filled(rb'["\ud83d\ude00"', b',""', b"]"),
    "texts and a nul": filled(b'[""', b',""', rb',"\u0000"]'),
    "backslashes": filled(b'{"name": "', rb"\\", rb'\ud83d\ude00"}'),
    "escaped nuls": filled(b'{"name": "', rb"\\u0000", rb'\ud83d\ude00"}'),
}
HOSTILE_FORMS = {
    "unknown names": filled(b"x=1", b"&%d=1"),
    "one name": filled(b"", b"a=&"),
    "separators": filled(b"", b"&"),
    "escapes": filled(b"username=", b"%41"),
    "escapes in the largest form": b"username=" + b"%41" * (42 << 10),
    "separators in the largest form": b"&" * (128 << 10),
}
REQUESTS = [
    *(("/users", JSON_BODY, body) for body in HOSTILE.values()),
    *(("/auth/token", FORM_BODY, body) for body in HOSTILE_FORMS.values()),
]


@both_stacks
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    REQUESTS,
    ids=[*HOSTILE, *map("form {}".format, HOSTILE_FORMS)],
)
async def test_no_anonymous_body_blocks_the_event_loop(
    client: AsyncClient, path: str, media_type: str, body: bytes
) -> None:
    headers = {"Content-Type": media_type}
    # The best of three, with three times the 50 ms of an idle machine as the limit.
    responses = [await measure_block(client, path, headers, body) for _ in range(3)]

    response, _ = responses[0]
    assert response.status_code in {400, 413, 422}
    assert min(seconds for _, seconds in responses) < 0.15
    assert len(response.content) < 10_000
    assert "x" * 200 not in response.text


async def measure_block(
    client: AsyncClient, path: str, headers: dict[str, str], body: bytes
) -> tuple[httpx.Response, float]:
    """Return the response, and the CPU seconds of the event loop's longest step."""
    longest, is_done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while not is_done.is_set():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    response = await client.post(path, content=body, headers=headers)
    is_done.set()
    await watching
    return response, longest


async def test_of_many_unknown_names_the_first_are_listed(
    client: AsyncClient,
) -> None:
    body = {**SIGN_UP, **{f"field{number}": 1 for number in range(1000)}}
    response = await client.post("/users", json=body)

    fields = [f"body.field{number}" for number in range(20)]
    assert_refused(response, 422, "VALIDATION_ERROR", *fields)


async def test_no_error_lists_more_than_fifty_details(
    app: Application, client: AsyncClient
) -> None:
    class Line(Schema):
        sku: int

    class Order(Schema):
        lines: list[Line]
        numbers: list[int] = []

    lines = Router()

    @lines.post("/orders", response_model=None)
    async def order(data: Order) -> Response:
        return Response()

    app.include_router(lines, prefix="/api/v1")
    wrong = await client.post("/orders", json={"lines": [{}] * 100})
    too_wrong = await client.post("/orders", json={"lines": [{}] * 100_000})
    numbers = await client.post(
        "/orders", json={"lines": [], "numbers": ["x"] * 100_000}
    )

    details = wrong.json()["error"]["details"]
    assert [d["field"] for d in details] == [f"body.lines.{n}.sku" for n in range(50)]
    for response in (too_wrong, numbers):
        assert_refused(response, 422, "VALIDATION_ERROR", "body")
        assert "too many errors" in response.text


async def test_long_names_are_truncated_in_errors(client: AsyncClient) -> None:
    response = await client.post("/users", json={**SIGN_UP, "n" * 100_000: 1})

    (detail,) = response.json()["error"]["details"]
    assert detail["field"] == "body." + "n" * 100

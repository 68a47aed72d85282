"""What the request middleware adds to every response, on both stacks."""

import gzip
import sys
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from httpx import AsyncClient, Response
from rest_framework import exceptions
from starlette.types import ASGIApp, Message
from support_stacks import Stack
from uuid_utils.compat import uuid7

from bedplate.django_site.api.exception_handler import to_api_error
from bedplate.example.posts.models import Post
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.decompress,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}
LONG = {"title": "Long", "content": "words and " * 200, "publish": True}
VARYING_HEADERS = {"x-request-id", "date"}  # they differ between responses

both_ways = pytest.mark.parametrize(
    "setting_overrides",
    [{"compiled_routes": True}, {"compiled_routes": False}],
    ids=["compiled", "stock"],
)


async def raw(client: AsyncClient, method: str, path: str, **headers: str) -> Response:
    """Return the response as it is on the wire, not decoded."""
    raw_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.stream(method, path, headers=raw_headers) as response:
        response._content = b"".join([part async for part in response.aiter_raw()])
    return response


def headers_of(response: Response) -> list[tuple[str, str]]:
    return sorted(
        h for h in response.headers.multi_items() if h[0] not in VARYING_HEADERS
    )


# HEAD


@both_ways
async def test_head_is_get_without_the_body(
    client: AsyncClient, as_user: AsyncClient, as_admin: AsyncClient, draft: Post
) -> None:
    paths = [
        *("/users", "/users/me", f"/users/{draft.author_id}", "/users?page=0"),
        *("/posts", f"/posts/{draft.id}", f"/posts/{uuid7()}", "/nothing", "/users/x"),
        f"/posts/{draft.id}/publish",
    ]
    seen = set()
    for asking in (client, as_user, as_admin):
        for path in paths:
            got = await asking.get(path)
            head = await asking.head(path)

            assert head.status_code == got.status_code, path
            assert headers_of(head) == headers_of(got), path
            assert head.headers["content-length"] == str(len(got.content))
            assert (head.content, bool(got.content)) == (b"", True)
            seen.add(got.status_code)
    assert seen == {200, 401, 403, 404, 405, 422}


async def test_head_knows_what_has_not_changed(
    as_user: AsyncClient, draft: Post
) -> None:
    path = f"/posts/{draft.id}"
    etag = (await as_user.head(path)).headers["etag"]
    again = await as_user.head(path, headers={"If-None-Match": etag})

    assert (again.status_code, again.headers["etag"]) == (304, etag)


async def test_allow_names_head_where_there_is_get(
    as_user: AsyncClient, draft: Post
) -> None:
    for path, allowed in (
        ("/posts", "GET, HEAD, POST"),
        (f"/posts/{draft.id}", "DELETE, GET, HEAD, PATCH"),
        (f"/posts/{draft.id}/publish", "POST"),
    ):
        response = await as_user.put(path)
        assert_refused(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == allowed


async def test_head_answers_outside_the_api_too(service: ASGIApp) -> None:
    async with Stack(service, "").client() as client:
        for path in (
            *("/health/live", "/health/ready", "/docs", "/openapi.json"),
            *("/docs/assets/swagger-ui.css", "/account/verify-email"),
            *("/.well-known/jwks.json", "/django/api/v1/schema"),
            *("/django/static/admin/css/base.css", "/nothing", "/django/nothing"),
        ):
            got = await client.get(path)
            head = await client.head(path)

            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert headers_of(head) == headers_of(got), path
        for path in ("/metrics", "/admin/login/", "/admin/"):  # never twice the same
            got = await client.get(path)
            head = await client.head(path)

            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers.keys() == got.headers.keys(), path


async def test_nothing_has_no_length(as_user: AsyncClient, draft: Post) -> None:
    path = f"/posts/{draft.id}"
    etag = (await as_user.get(path)).headers["etag"]
    same = await as_user.get(path, headers={"If-None-Match": etag})
    gone = await as_user.delete(path)

    for response, status in ((same, 304), (gone, 204)):
        assert (response.status_code, response.content) == (status, b"")
        assert "content-length" not in response.headers
        assert "content-type" not in response.headers


# Caching


async def test_what_belongs_to_a_caller_is_private(
    client: AsyncClient, as_user: AsyncClient, as_admin: AsyncClient, user: User
) -> None:
    post = (await as_user.post("/posts", json=LONG)).json()
    for asking, path, expected in (
        (as_admin, "/users", "no-store"),
        (as_user, "/posts", "no-store"),
        (as_user, "/users/me", "private, no-cache"),
        (as_user, f"/posts/{post['id']}", "private, no-cache"),
        (as_user, "/nothing", "no-store"),
        (client, "/posts", "no-cache"),
        (client, f"/posts/{post['id']}", "no-cache"),
        (client, "/users/me", "no-store"),
        (client, "/nothing", "no-store"),
    ):
        response = await asking.get(path)
        assert response.headers.get_list("cache-control") == [expected], path


async def test_a_foreign_cookie_changes_no_answer(
    client: AsyncClient, as_user: AsyncClient
) -> None:
    for name in ("bedplate_admin", "bedplate_csrf", "sessionid", "csrftoken"):
        cookie = {"Cookie": f"{name}=rubbish"}
        for asking, path in ((client, "/posts"), (as_user, "/users/me")):
            without = await asking.get(path)
            response = await asking.get(path, headers=cookie)

            assert "set-cookie" not in response.headers
            assert response.headers["vary"] == without.headers["vary"]
            assert (response.status_code, response.json()) == (200, without.json())


# Compression


@pytest.mark.parametrize("encoding", DECODERS)
async def test_a_long_answer_is_compressed(
    as_user: AsyncClient, client: AsyncClient, encoding: str
) -> None:
    post = (await as_user.post("/posts", json=LONG)).json()
    for asking, path in ((as_user, "/posts"), (client, f"/posts/{post['id']}")):
        plain = await raw(asking, "GET", path, Accept_Encoding="identity")
        packed = await raw(asking, "GET", path, Accept_Encoding=encoding)
        head = await raw(asking, "HEAD", path, Accept_Encoding=encoding)

        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == encoding
        assert packed.headers.get_list("content-length") == [str(len(packed.content))]
        assert len(packed.content) < len(plain.content) / 2
        assert DECODERS[encoding](packed.content) == plain.content
        assert (head.content, headers_of(head)) == (b"", headers_of(packed))
        for response in (plain, packed):
            assert response.headers.get_list("vary") == ["Accept-Encoding"]


async def test_a_compressed_answer_s_tag_is_weak_and_good_for_all(
    as_user: AsyncClient,
) -> None:
    post = (await as_user.post("/posts", json=LONG)).json()
    path = f"/posts/{post['id']}"
    strong = (await raw(as_user, "GET", path, Accept_Encoding="identity")).headers
    weak = (await raw(as_user, "GET", path, Accept_Encoding="br")).headers["etag"]
    same = await raw(as_user, "GET", path, Accept_Encoding="br", If_None_Match=weak)
    changed = await as_user.patch(
        path, json={"title": "New"}, headers={"If-Match": weak}
    )
    stale = await as_user.patch(path, json={"title": "X"}, headers={"If-Match": weak})

    assert weak == f"W/{strong['etag']}"
    assert (same.status_code, same.headers["etag"]) == (304, weak)
    assert same.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in same.headers
    assert changed.status_code == 200
    assert_refused(stale, 412, "PRECONDITION_FAILED")


async def test_a_short_answer_is_not_compressed(as_user: AsyncClient) -> None:
    response = await raw(as_user, "GET", "/users/me", Accept_Encoding="br")

    assert "content-encoding" not in response.headers
    assert response.headers["etag"].startswith('"')
    assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "accepted",
    ["", "identity;q=0", "*;q=0", ";;;", ",,,", "br;q=2", "gzip;q=", "x" * 5000, "é"],
)
async def test_odd_wishes_get_the_answer_as_it_is(
    as_user: AsyncClient, accepted: str
) -> None:
    await as_user.post("/posts", json=LONG)
    wish = [(b"Accept-Encoding", accepted.encode("latin-1"))]
    response = await as_user.get("/posts", headers=wish)

    assert (response.status_code, response.json()["total"]) == (200, 1)
    assert "content-encoding" not in response.headers


async def test_wishes_in_two_lines_are_one(as_user: AsyncClient) -> None:
    await as_user.post("/posts", json=LONG)
    headers = [("Accept-Encoding", "gzip;q=0.5"), ("Accept-Encoding", "br;q=0.1")]
    async with as_user.stream("GET", "/posts", headers=headers) as response:
        assert response.headers["content-encoding"] == "gzip"


# If-Match


async def test_if_match_in_two_lines_is_one_list(
    as_user: AsyncClient, draft: Post
) -> None:
    path = f"/posts/{draft.id}"
    etag = (await as_user.get(path)).headers["etag"]
    for tags, status in (
        (['"a"', '"b"'], 412),
        (['"a"', f"W/{etag}"], 200),
        ([etag, '"a"'], 412),  # changed by then
    ):
        headers = [("If-Match", tag) for tag in tags]
        response = await as_user.patch(path, json={"title": "N"}, headers=headers)
        assert response.status_code == status, tags
    lines = [("If-Match", f'"{"x" * 600}"')] * 2
    refused = await as_user.patch(path, json={"title": "N"}, headers=lines)
    assert_refused(refused, 422, "VALIDATION_ERROR", "header.if-match")


# Errors


async def test_so_many_unknown_names_are_refused_by_the_first(
    client: AsyncClient,
) -> None:
    body = {f"field{number}": 1 for number in range(50_000)}
    response = await client.post("/users", json=body)

    fields = [f"body.field{number}" for number in range(20)]
    assert_refused(response, 422, "VALIDATION_ERROR", *fields)


class OutOfStock(exceptions.APIException):
    status_code = 409
    default_detail = "Out of stock"


RAISED: list[tuple[Callable[[], Exception], tuple[int, str, str, Any]]] = [
    (OutOfStock, (409, "CONFLICT", "Out of stock", None)),
    (lambda: OutOfStock("One is left"), (409, "CONFLICT", "One is left", None)),
    (
        lambda: OutOfStock({"message": "Gone", "code": "SOLD_OUT", "left": ["0"]}),
        (409, "SOLD_OUT", "Gone", [("left", "0")]),
    ),
    (
        lambda: exceptions.NotFound("No such shelf"),
        (404, "NOT_FOUND", "No such shelf", None),
    ),
    (exceptions.NotFound, (404, "NOT_FOUND", "Not found", None)),
    (
        lambda: exceptions.APIException("secret cause"),
        (500, "INTERNAL_ERROR", "Something went wrong on our side", None),
    ),
    (
        lambda: exceptions.ValidationError({"lines": [{"sku": ["Unknown"]}]}),
        (422, "VALIDATION_ERROR", "Validation failed", [("body.lines.sku", "Unknown")]),
    ),
]


def test_rest_framework_s_exceptions_keep_what_they_say(service: ASGIApp) -> None:
    for make, expected in RAISED:
        error = to_api_error(make())

        assert error is not None
        details = [tuple(detail) for detail in error.details or ()] or None
        assert (error.status_code, error.code, error.message, details) == expected


# A client that leaves


async def test_a_client_that_leaves_mid_body_is_answered_nothing(
    stack: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    messages: list[Message] = []
    parts: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return parts.pop(0) if len(parts) > 1 else parts[0]

    async def send(message: Message) -> None:
        messages.append(message)

    path = f"{stack.prefix}/users"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"99"),
        (b"host", b"test"),
    ]
    await stack.service(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        },
        receive,
        send,
    )

    assert {m["status"] for m in messages if "status" in m} <= {499}
    assert "bug" not in capfd.readouterr().err

"""Errors of every layer, on both stacks."""

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import delete, update
from support import execute
from support_stacks import Stack
from uuid_utils.compat import uuid7

from bedplate.main import Application
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.assertions import assert_refused

JSON = {"Content-Type": "application/json"}


async def test_a_stranger_gets_401_everywhere_but_at_the_open_doors(
    client: AsyncClient,
) -> None:
    id_ = uuid7()
    for method, path in (
        ("GET", "/users"),
        ("GET", "/users/me"),
        ("PATCH", "/users/me"),
        ("GET", f"/users/{id_}"),
        ("PATCH", f"/users/{id_}"),
        ("DELETE", f"/users/{id_}"),
        ("POST", f"/users/{id_}/activate"),
        ("POST", f"/users/{id_}/deactivate"),
        ("POST", "/posts"),
        ("PATCH", f"/posts/{id_}"),
        ("DELETE", f"/posts/{id_}"),
        ("POST", f"/posts/{id_}/publish"),
        ("POST", f"/posts/{id_}/unpublish"),
    ):
        response = await client.request(method, path)
        assert_refused(response, 401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic dXNlcjpwdw==", "Bearer \xe9"]
)
async def test_a_bad_token_is_refused_even_at_an_open_door(
    client: AsyncClient, header: str
) -> None:
    bad_header = {"Authorization": header.encode("latin-1")}
    response = await client.get("/posts", headers=bad_header)  # type: ignore[arg-type]

    assert_refused(response, 401, "UNAUTHENTICATED")


async def test_the_end_of_a_session_acts_on_the_next_request(
    as_user: AsyncClient, app: Application, user: User
) -> None:
    assert (await as_user.get("/users/me")).status_code == 200
    await execute(app, delete(UserSession).where(UserSession.user_id == user.id))

    assert_refused(await as_user.get("/users/me"), 401, "UNAUTHENTICATED")


async def test_a_demotion_acts_on_the_next_request(
    as_admin: AsyncClient, app: Application, admin: User
) -> None:
    assert (await as_admin.get("/users")).status_code == 200
    await execute(app, update(User).where(User.id == admin.id).values(role="user"))

    assert_refused(await as_admin.get("/users"), 403, "FORBIDDEN")


async def test_a_wrong_path_or_method_is_reported_in_the_envelope(
    client: AsyncClient, stack: Stack
) -> None:
    assert_refused(await client.get("/nothing"), 404, "NOT_FOUND")
    assert_refused(await client.get("/users/"), 404, "NOT_FOUND")
    response = await client.put("/posts")
    assert_refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD, POST"


async def test_a_bad_body_is_reported_in_the_envelope(as_user: AsyncClient) -> None:
    async def send(content: bytes, media_type: str = "application/json") -> Response:
        headers = {"Content-Type": media_type}
        return await as_user.post("/posts", content=content, headers=headers)

    assert_refused(await send(b"{}", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_refused(await send(b"x" * (1 << 21)), 413, "PAYLOAD_TOO_LARGE")
    for content in (b"{", b'{"title": NaN}', b"\xff", b"[" * 5000, b"", b"[]", b"null"):
        assert_refused(await send(content), 422, "VALIDATION_ERROR", "body")
    nul = await send(b'{"title": "a\\u0000", "content": "c"}')
    assert_refused(nul, 422, "VALIDATION_ERROR", "body.title")
    missing = await send(b"{}")
    fields = ["body.title", "body.content"]
    assert_refused(missing, 422, "VALIDATION_ERROR", *fields)


async def test_a_body_of_unknown_length_has_the_limit_too(
    as_user: AsyncClient,
) -> None:
    async def endless() -> object:
        for _ in range(3):
            yield b"x" * (1 << 19)

    response = await as_user.post("/posts", content=endless(), headers=JSON)  # type: ignore[arg-type]

    assert_refused(response, 413, "PAYLOAD_TOO_LARGE")


async def test_a_request_keeps_its_id_and_an_answer_its_guards(
    client: AsyncClient,
) -> None:
    response = await client.get("/posts", headers={"X-Request-ID": "mine"})

    assert response.headers.get_list("x-request-id") == ["mine"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers.get_list("content-security-policy")[1:] == []


async def test_all_wrong_inputs_are_reported_together(as_user: AsyncClient) -> None:
    response = await as_user.patch(
        "/posts/no-uuid",
        json={"title": "", "content": None, "x": 1},
        headers={"If-Match": "x" * 1001},
    )

    fields = ["header.if-match", "path.post_id"]
    fields += ["body.title", "body.content", "body.x"]
    assert_refused(response, 422, "VALIDATION_ERROR", *fields)


async def test_sign_ups_have_their_limit(client: AsyncClient) -> None:
    async def sign_up(number: int) -> Response:
        email = f"new{number}@example.com"
        body = {"email": email, "name": "N", "password": "Correct-h0rse"}
        return await client.post("/users", json=body)

    for number in range(20):
        assert (await sign_up(number)).status_code == 201
    refused = await sign_up(21)
    assert_refused(refused, 429, "RATE_LIMITED")
    assert int(refused.headers["retry-after"]) > 0

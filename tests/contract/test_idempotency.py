"""A creating POST that is sent twice is done once, on both stacks."""

import asyncio
from typing import Any

from httpx import AsyncClient, Response
from sqlalchemy import func, select

from bedplate.example.posts.models import Post
from bedplate.idempotency import IdempotencyKey
from bedplate.main import Application
from bedplate.testing.assertions import assert_refused

BODY = {"title": "T", "content": "C"}


async def post(client: AsyncClient, key: str = "key", **body: Any) -> Response:
    headers = {"Idempotency-Key": key}
    return await client.post("/posts", json=body or BODY, headers=headers)


async def count(app: Application, model: Any) -> int:
    async with app.state.runtime.database.engine.connect() as connection:
        rows = await connection.scalar(select(func.count()).select_from(model))
        return int(rows or 0)


async def test_a_repeat_gets_the_first_answer(
    as_user: AsyncClient, as_other: AsyncClient, app: Application
) -> None:
    first, again = await post(as_user), await post(as_user)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    for name in ("location", "etag", "content-type", "cache-control"):
        assert again.headers.get_list(name) == first.headers.get_list(name)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count(app, Post) == 1
    assert (await post(as_other)).json()["id"] != first.json()["id"]


async def test_a_key_is_for_one_request(as_user: AsyncClient) -> None:
    await post(as_user)

    assert_refused(await post(as_user, title="U"), 422, "IDEMPOTENCY_KEY_REUSED")
    for bad in ("", "a b", "x" * 256):
        refused = await post(as_user, bad)
        field = "header.Idempotency-Key"
        assert_refused(refused, 422, "VALIDATION_ERROR", field)


async def test_a_refusal_is_kept_too(as_user: AsyncClient, app: Application) -> None:
    first, again = await post(as_user, title=""), await post(as_user, title="")

    assert (first.status_code, again.status_code) == (422, 422)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert_refused(await post(as_user), 422, "IDEMPOTENCY_KEY_REUSED")
    assert await count(app, IdempotencyKey) == 1


async def test_a_stranger_s_key_is_nobody_s(
    client: AsyncClient, app: Application
) -> None:
    body = {"email": "new@example.com", "name": "N", "password": "Correct-h0rse"}
    headers = {"Idempotency-Key": "key"}
    first = await client.post("/users", json=body, headers=headers)
    again = await client.post("/users", json=body, headers=headers)

    assert first.status_code == 201
    assert_refused(again, 409, "EMAIL_TAKEN")
    assert await count(app, IdempotencyKey) == 0


async def test_many_at_once_make_one(as_user: AsyncClient, app: Application) -> None:
    responses = await asyncio.gather(*(post(as_user) for _ in range(8)))

    assert await count(app, Post) == 1
    ids = {
        response.json()["id"] for response in responses if response.status_code == 201
    }
    assert len(ids) == 1
    for response in responses:
        if response.status_code != 201:
            assert_refused(response, 409, "IDEMPOTENCY_IN_PROGRESS")

"""Lists are the same on both stacks, by page and by cursor."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient
from starlette.types import ASGIApp
from support_stacks import PREFIXES, Stack

from bedplate.core.clock import utc_now
from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import _issue_token

Both = tuple[AsyncClient, AsyncClient]
SORTS = [
    f"{sign}{name}"
    for name in ("created_at", "published_at", "title")
    for sign in ("", "-")
]


@pytest_asyncio.fixture
async def both(app: Application, service: ASGIApp, user: User, other: User) -> Any:
    """Return an author's clients of both stacks, with posts that tie in each order."""
    moments = [utc_now() - timedelta(hours=n // 2) for n in range(8)]
    posts = [
        Post(
            author_id=(user if n % 3 else other).id,
            title=["Eins", "zwei", "ÜBER 100%", "_drei"][n % 4],
            content="c\\",
            created_at=moment,
            published_at=None if n % 4 == 0 else moment,
        )
        for n, moment in enumerate(moments)
    ]
    async with app.state.runtime.database.unit_of_work() as session:
        session.add_all(posts)
    token = await _issue_token(app, user.id)
    stacks = (Stack(service, prefix) for prefix in PREFIXES.values())
    fastapi, django = (stack.client(token) for stack in stacks)
    async with fastapi, django:
        yield fastapi, django


async def same(both: Both, path: str, **query: Any) -> Any:
    """Return the response of both stacks, which must be equal."""
    one, other = [await client.get(path, params=query) for client in both]
    assert (one.status_code, one.text) == (other.status_code, other.text), query
    assert one.status_code == 200, one.text
    return one.json()


async def test_every_page_in_every_order_is_the_same(both: Both) -> None:
    filters: list[dict[str, str]] = [
        {},
        {"status": "draft"},
        {"status": "published"},
        {"q": "über 100%"},
        {"q": "_"},
        {"q": "\\"},
        {"q": "zw%"},
    ]
    totals = []
    for sort, filter_ in product(SORTS, filters):
        page = await same(both, "/posts", sort=sort, limit=3, page=2, **filter_)
        totals.append(page["total"])
    assert totals[: len(filters)] == [7, 1, 6, 2, 2, 7, 0]


@pytest.mark.parametrize("sort", SORTS)
async def test_cursors_go_from_one_stack_to_the_other(both: Both, sort: str) -> None:
    cursor, seen = "", []
    while cursor is not None:
        page = await same(both, "/posts", sort=sort, limit=2, cursor=cursor)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    everything = await same(both, "/posts", sort=sort, limit=100)
    assert seen == [item["id"] for item in everything["items"]]
    assert len(seen) == len(set(seen)) == 7


async def test_a_list_s_bad_parameters_are_refused(client: AsyncClient) -> None:
    for name, value in (
        ("page", "0"),
        ("limit", "101"),
        ("sort", "content"),
        ("status", "lost"),
        ("author_id", "x"),
        ("q", "\0"),
        ("unknown", "1"),
    ):
        refused = await client.get("/posts", params={name: value})
        assert_refused(refused, 422, "VALIDATION_ERROR", f"query.{name}")
    both = await client.get("/posts", params={"page": 1, "cursor": ""})
    assert_refused(both, 422, "VALIDATION_ERROR", "query")
    tampered = await client.get("/posts", params={"cursor": "x"})
    assert_refused(tampered, 400, "INVALID_CURSOR")


async def test_a_query_for_each_row_would_be_seen(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db.models import QuerySet

    monkeypatch.setattr(QuerySet, "select_related", lambda rows, *_: rows.all())

    refused = await both[1].get("/posts")

    assert_refused(refused, 500, "INTERNAL_ERROR")

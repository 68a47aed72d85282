"""The list of posts: what each caller may know of, in every order and mode."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from httpx import AsyncClient
from support import Clients

from bedplate.core.clock import utc_now
from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused

SORTS = [
    "created_at",
    "-created_at",
    "published_at",
    "-published_at",
    "title",
    "-title",
]
# Which rows somebody may know of, by (author's name, whether it is published).
SCOPES: dict[str, Callable[[str, bool], bool]] = {
    "stranger": lambda _author, is_published: is_published,
    "other": lambda author, is_published: is_published or author == "other",
    "author": lambda author, is_published: is_published or author == "author",
    "writer": lambda _author, is_published: is_published,
    "reader": lambda _author, _is_published: True,
    "admin": lambda _author, _is_published: True,
}
TITLES = ["Tie", "tie", "100% sure", "snake_case", "back\\slash", "ÜBER"]


@pytest_asyncio.fixture
async def posts(app: Application, user: User, other: User) -> dict[str, dict[str, Any]]:
    """Thirteen posts of two authors, by their ids; half are drafts, and many tie."""
    now = utc_now()
    rows: list[dict[str, Any]] = [
        {
            "author": ["author", "other"][number % 2],
            "title": TITLES[number % 6],
            "content": f"Words {number} {'SECRET' if number % 4 < 2 else 'open'}",
            "is_published": number % 4 >= 2,
            "created_at": now - timedelta(seconds=number // 4),
            "published_at": now - timedelta(seconds=number // 8),
        }
        for number in range(13)
    ]
    ids = {"author": user.id, "other": other.id}
    posts = [
        Post(
            author_id=ids[row["author"]],
            title=row["title"],
            content=row["content"],
            created_at=row["created_at"],
            published_at=row["published_at"] if row["is_published"] else None,
        )
        for row in rows
    ]
    async with app.state.runtime.database.unit_of_work() as session:
        session.add_all(posts)
    return {str(post.id): row for post, row in zip(posts, rows, strict=True)}


def visible(posts: dict[str, dict[str, Any]], who: str) -> dict[str, dict[str, Any]]:
    may_know = SCOPES[who]
    return {
        id_: post
        for id_, post in posts.items()
        if may_know(post["author"], post["is_published"])
    }


async def read(client: AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.get("/posts", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def ids_of(client: AsyncClient, **params: Any) -> list[str]:
    """All ids on one page, whose total has to be exact."""
    page = await read(client, limit=100, **params)
    assert page["total"] == len(page["items"])
    return [item["id"] for item in page["items"]]


async def walk(client: AsyncClient, **params: Any) -> list[str]:
    """All ids, from cursor to cursor."""
    cursor, ids = "", list[str]()
    while cursor is not None:
        page = await read(client, cursor=cursor, **params)
        assert (page["total"], page["pages"], page["page"]) == (None, None, None)
        ids += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    return ids


async def test_everyone_sees_what_they_may_know_of_and_its_exact_number(
    clients: Clients, posts: dict[str, Any]
) -> None:
    for who in SCOPES:
        expected = visible(posts, who)
        assert set(await ids_of(clients[who])) == expected.keys(), who

        page = await read(clients[who], limit=3, page=2)
        assert (page["total"], page["pages"]) == (
            len(expected),
            -(-len(expected) // 3),
        ), who
        for item in page["items"]:
            alone = await clients[who].get(f"/posts/{item['id']}")
            assert alone.json() == item


async def test_no_filter_or_search_shows_anybody_s_draft(
    clients: Clients, posts: dict[str, Any], user: User, other: User
) -> None:
    authors = {"author": user.id, "other": other.id}
    for who in SCOPES:
        readable = visible(posts, who)
        for status, is_published in (("published", True), ("draft", False)):
            expected = {
                i for i, p in readable.items() if p["is_published"] is is_published
            }
            assert set(await ids_of(clients[who], status=status)) == expected
            assert set(await walk(clients[who], status=status, limit=2)) == expected
        for author, id_ in authors.items():
            expected = {i for i, p in readable.items() if p["author"] == author}
            assert set(await ids_of(clients[who], author_id=id_)) == expected
            drafts = {i for i in expected if not posts[i]["is_published"]}
            both = {"author_id": id_, "status": "draft"}
            assert set(await ids_of(clients[who], **both)) == drafts
        secret = {i for i, p in readable.items() if "SECRET" in p["content"]}
        assert set(await ids_of(clients[who], q="secret")) == secret
        assert set(await walk(clients[who], q="secret", limit=1)) == secret
    assert await ids_of(clients["stranger"], q="SECRET") == []


async def test_another_s_cursor_shows_nothing_more(
    clients: Clients, posts: dict[str, Any]
) -> None:
    """An admin's cursor, after a draft, in a stranger's hands."""
    for sort in SORTS:
        cursor = ""
        while cursor is not None:
            page = await read(clients["admin"], sort=sort, limit=2, cursor=cursor)
            cursor = page["next_cursor"]
            if cursor is None:
                break
            for who in ("stranger", "other"):
                seen = await read(clients[who], sort=sort, limit=100, cursor=cursor)
                ids = {item["id"] for item in seen["items"]}
                assert ids <= visible(posts, who).keys(), (who, sort)


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_and_cursors_show_each_row_once_in_one_order(
    clients: Clients, posts: dict[str, Any], sort: str
) -> None:
    for who in ("stranger", "author", "admin"):
        expected = await ids_of(clients[who], sort=sort)
        assert sorted(expected) == sorted(visible(posts, who))
        for limit in (1, 2, 5, 13):
            assert await walk(clients[who], sort=sort, limit=limit) == expected
        pages = [
            await read(clients[who], sort=sort, limit=4, page=n) for n in range(1, 5)
        ]
        assert [item["id"] for page in pages for item in page["items"]] == expected
        if len(expected) > 4:
            onward = {"sort": sort, "limit": 100, "cursor": pages[0]["next_cursor"]}
            items = (await read(clients[who], **onward))["items"]
            assert [item["id"] for item in items] == expected[4:]
        # Drafts count as the newest that are published, and the id breaks ties.
        backwards = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
        assert await ids_of(clients[who], sort=backwards) == expected[::-1]
    items = (await read(clients["admin"], sort=sort, limit=100))["items"]
    if sort.endswith("published_at"):
        are_drafts = [item["published_at"] is None for item in items]
        assert are_drafts == sorted(are_drafts, reverse=sort.startswith("-"))
        items = [item for item in items if item["published_at"] is not None]
    if not sort.endswith("title"):  # the database's collation is its own
        keys = [(item[sort.removeprefix("-")], item["id"]) for item in items]
        assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_search_takes_like_s_characters_literally_and_knows_no_case(
    as_admin: AsyncClient, posts: dict[str, Any]
) -> None:
    for q, title in [
        ("%", "100% sure"),
        ("_", "snake_case"),
        ("\\", "back\\slash"),
        ("SNAKE_", "snake_case"),
        ("über", "ÜBER"),
    ]:
        expected = {i for i, p in posts.items() if p["title"] == title}
        assert set(await ids_of(as_admin, q=q)) == expected, q
    assert await ids_of(as_admin, q="s%e") == []
    assert len(await ids_of(as_admin, q="WORDS 1")) == 4  # 1, 10, 11 and 12
    assert len(await ids_of(as_admin, q="")) == len(posts)


async def test_the_newest_come_first_by_default(
    client: AsyncClient, posts: dict[str, Any]
) -> None:
    assert await ids_of(client) == await ids_of(client, sort="-created_at")


async def test_a_cursor_is_of_its_order_and_of_this_list(
    as_admin: AsyncClient, posts: dict[str, Any]
) -> None:
    of_users = await as_admin.get("/users", params={"limit": 1, "sort": "email"})
    cursors = [("title", of_users.json()["next_cursor"]), ("title", "AAAA")]
    for sort in SORTS:
        cursor = (await read(as_admin, sort=sort, limit=2))["next_cursor"]
        cursors += [(other, cursor) for other in SORTS if other != sort]
    for sort, cursor in cursors:
        answer = await as_admin.get("/posts", params={"sort": sort, "cursor": cursor})
        assert_refused(answer, 400, "INVALID_CURSOR")


WRONG = {
    "status": ["", "all", "Draft", "null"],
    "author_id": ["", "x", "null", "1"],
    "sort": ["id", "author", "content", "-", ""],
    "q": ["x" * 201, "\x00"],
    "is_published": ["true"],
    "page": ["0"],
    "limit": ["101"],
}


async def test_a_wrong_parameter_is_refused_by_its_name(client: AsyncClient) -> None:
    for name, values in WRONG.items():
        for value in values:
            answer = await client.get("/posts", params={name: value})
            assert_refused(answer, 422, "VALIDATION_ERROR", f"query.{name}")


async def test_bad_credentials_are_no_strangers(client: AsyncClient) -> None:
    headers = {"Authorization": "Bearer x"}
    answer = await client.get("/posts", headers=headers)
    assert_refused(answer, 401, "UNAUTHENTICATED")


async def test_a_post_without_its_author_is_not_there(
    app: Application, as_admin: AsyncClient, posts: dict[str, Any], other: User
) -> None:
    """The database deletes them, so the total that joins no author stays exact."""
    async with app.state.runtime.database.unit_of_work() as session:
        await session.execute(sa.delete(User).where(User.id == other.id))

    expected = {i for i, p in posts.items() if p["author"] == "author"}
    assert set(await ids_of(as_admin)) == expected

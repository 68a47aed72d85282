"""Posts one by one: who may do what, and what is answered."""

import asyncio
import json
from typing import Any

import pytest
from httpx import AsyncClient
from support import Clients, read_table
from uuid_utils.compat import uuid7

from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused

ANYONE = ("stranger", "author", "other", "admin", "reader", "writer")
UNAUTHENTICATED = (401, "UNAUTHENTICATED")
FORBIDDEN = (403, "FORBIDDEN")
UNKNOWN = (404, "NOT_FOUND")

# Who is refused what on another's published post, and on a draft.
REFUSED_PUBLISHED = {
    "stranger": UNAUTHENTICATED,
    "other": FORBIDDEN,
    "reader": FORBIDDEN,
}
REFUSED_DRAFT = {
    "stranger": UNAUTHENTICATED,
    "other": UNKNOWN,
    "reader": FORBIDDEN,
    "writer": UNKNOWN,
}
WRITES = [
    ("PATCH", "", {"title": "Changed"}),
    ("DELETE", "", None),
    ("POST", "/publish", None),
    ("POST", "/unpublish", None),
]


async def test_a_new_post_is_a_draft_of_its_author(
    as_user: AsyncClient, user: User
) -> None:
    body = {"title": "  A title\u2003", "content": "  kept\r\n\tas it is  "}
    answer = await as_user.post("/posts", json=body)
    post = answer.json()

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/posts/{post['id']}"
    assert post == {
        "id": post["id"],
        "title": "A title",
        "content": "  kept\r\n\tas it is  ",
        "author": {"id": str(user.id), "name": user.name},
        "published_at": None,
        "created_at": post["created_at"],
        "updated_at": post["updated_at"],
    }
    assert post["created_at"] <= post["updated_at"]
    assert post["created_at"].endswith("Z")
    assert (await as_user.get(f"/posts/{post['id']}")).json() == post


async def test_a_post_can_be_published_at_once(
    as_user: AsyncClient, client: AsyncClient
) -> None:
    body = {"title": "T", "content": "C", "publish": True}
    post = (await as_user.post("/posts", json=body)).json()

    assert post["published_at"].endswith("Z")
    assert (await client.get(f"/posts/{post['id']}")).json() == post


async def test_texts_may_be_as_long_as_the_contract_says(
    as_user: AsyncClient,
) -> None:
    longest = {"title": f" {'é' * 255} ", "content": "😀" * 100_000}
    answer = await as_user.post("/posts", json=longest)

    assert answer.status_code == 201
    assert answer.json()["title"] == "é" * 255
    assert answer.json()["content"] == longest["content"]
    shortest = {"title": "a", "content": "\n"}
    assert (await as_user.post("/posts", json=shortest)).status_code == 201


MARK = "zqxj"
JSON = {"Content-Type": "application/json"}
NO_STRINGS: list[Any] = [None, 7, True, [MARK], {MARK: MARK}, 10**18]
HALF_A_PAIR = f"{MARK}\ud800"  # no JSON at all
UNSTORABLE = [f"{MARK}\x00", HALF_A_PAIR, ""]
WRONG = {
    "title": [
        *NO_STRINGS,
        *UNSTORABLE,
        " \u2003\t",
        f"a\n{MARK}",
        f"{MARK}\x1b[1m",
        MARK * 64,
        MARK * 200_000,
    ],
    "content": [*NO_STRINGS, *UNSTORABLE, MARK * 25_001],
}
WRONG_PUBLISH: list[Any] = [None, 1, "true", "yes", [], 0.0]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_wrong_field_is_named_and_nothing_is_written(
    app: Application, as_user: AsyncClient, draft: dict[str, Any], method: str
) -> None:
    path = "/posts" if method == "POST" else f"/posts/{draft['id']}"
    right = {"title": "T", "content": "C"} if method == "POST" else {}
    wrong = [(name, value) for name, values in WRONG.items() for value in values]
    if method == "POST":
        wrong += [("publish", value) for value in WRONG_PUBLISH]
    else:
        wrong += [("publish", True)]
    wrong += [(name, 1) for name in ("id", "author_id", "published_at", "nope")]
    before = await read_table(app, Post)
    for name, value in wrong:
        body = json.dumps({**right, name: value})  # httpx can't spell surrogates
        answer = await as_user.request(method, path, content=body, headers=JSON)

        field = "body" if value == HALF_A_PAIR else f"body.{name}"
        assert_refused(answer, 422, "VALIDATION_ERROR", field)
        assert MARK not in answer.text
    assert await read_table(app, Post) == before


async def test_a_post_needs_a_title_and_content(as_user: AsyncClient) -> None:
    for body, fields in [
        ({}, ["body.title", "body.content"]),
        ({"title": "T"}, ["body.content"]),
        ([], ["body"]),
    ]:
        answer = await as_user.post("/posts", json=body)
        assert_refused(answer, 422, "VALIDATION_ERROR", *fields)
    typed = await as_user.post("/posts", content=b"x", headers={"Content-Type": "a/b"})
    assert_refused(typed, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_draft_is_there_for_its_author_and_whoever_reads_any(
    clients: Clients, published: dict[str, Any], draft: dict[str, Any]
) -> None:
    readers = {"author", "admin", "reader"}
    for who in ANYONE:
        seen = await clients[who].get(f"/posts/{published['id']}")
        assert seen.json() == published, who

        answer = await clients[who].get(f"/posts/{draft['id']}")
        if who in readers:
            assert answer.json() == draft, who
        else:
            assert_refused(answer, *UNKNOWN)
            nowhere = await clients[who].get(f"/posts/{uuid7()}")
            errors = [a.json()["error"] | {"request_id": ""} for a in (answer, nowhere)]
            assert errors[0] == errors[1]


async def test_who_may_not_write_is_told_so_and_changes_nothing(
    app: Application,
    clients: Clients,
    published: dict[str, Any],
    draft: dict[str, Any],
) -> None:
    before = await read_table(app, Post)
    refusals = [(published, REFUSED_PUBLISHED), (draft, REFUSED_DRAFT)]
    for post, refused in refusals:
        for method, action, body in WRITES:
            path = f"/posts/{post['id']}{action}"
            for who, (status, code) in refused.items():
                answer = await clients[who].request(method, path, json=body)
                assert_refused(answer, status, code)
    stranger = await clients["stranger"].post("/posts", json={})
    assert_refused(stranger, *UNAUTHENTICATED)
    assert await read_table(app, Post) == before


async def test_an_unknown_post_is_404_and_what_is_no_id_is_422(
    clients: Clients,
) -> None:
    for method, action, body in [("GET", "", None), *WRITES]:
        unknown = await clients["admin"].request(
            method, f"/posts/{uuid7()}{action}", json=body
        )
        wrong = await clients["admin"].request(method, f"/posts/x{action}", json=body)
        assert_refused(unknown, *UNKNOWN)
        assert_refused(wrong, 422, "VALIDATION_ERROR", "path.post_id")


@pytest.mark.parametrize("who", ["author", "admin", "writer"])
async def test_who_may_write_does_and_is_answered_with_what_came_of_it(
    clients: Clients, published: dict[str, Any], who: str
) -> None:
    """Of a post that is a draft now too: one has just made it one."""
    writer, path = clients[who], f"/posts/{published['id']}"
    patched = await writer.patch(path, json={"content": "Other words"})
    unpublished = await writer.post(f"{path}/unpublish")

    assert patched.status_code == unpublished.status_code == 200
    assert patched.json() == {
        **published,
        "content": "Other words",
        "updated_at": patched.json()["updated_at"],
    }
    assert patched.json()["updated_at"] > published["updated_at"]
    assert unpublished.json()["published_at"] is None
    assert unpublished.json()["author"] == published["author"]
    seen = await clients["author"].get(path)
    assert seen.json() == unpublished.json()
    assert (await clients["stranger"].get(path)).status_code == 404


async def test_who_may_delete_does(
    app: Application, clients: Clients, write_post: Any
) -> None:
    for who in ("author", "admin", "writer"):
        post = await write_post(publish=True)
        answer = await clients[who].delete(f"/posts/{post['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await clients["author"].get(f"/posts/{post['id']}")).status_code == 404
    assert await read_table(app, Post) == []


async def test_a_change_that_changes_nothing_leaves_the_post_as_it_was(
    as_user: AsyncClient, draft: dict[str, Any]
) -> None:
    path = f"/posts/{draft['id']}"
    for body in ({}, {"title": draft["title"]}):
        answer = await as_user.patch(path, json=body)
        assert (answer.status_code, answer.json()) == (200, draft)


async def test_publishing_twice_keeps_the_first_moment(
    as_user: AsyncClient, client: AsyncClient, draft: dict[str, Any]
) -> None:
    path = f"/posts/{draft['id']}"
    first, *again = await asyncio.gather(
        *(as_user.post(f"{path}/publish") for _ in range(5))
    )

    assert first.json()["published_at"] is not None
    assert [a.json() for a in again] == [first.json()] * 4
    assert (await client.get(path)).json() == first.json()

    back = await as_user.post(f"{path}/unpublish")
    assert back.json()["published_at"] is None
    assert (await as_user.post(f"{path}/unpublish")).json() == back.json()
    assert_refused(await client.get(path), *UNKNOWN)

    anew = await as_user.post(f"{path}/publish")
    assert anew.json()["published_at"] > first.json()["published_at"]


async def test_the_posts_of_an_account_go_with_it(
    app: Application,
    clients: Clients,
    published: dict[str, Any],
    draft: dict[str, Any],
    write_post: Any,
) -> None:
    others = await write_post(clients["other"])
    assert (await clients["author"].delete("/users/me")).status_code == 204

    assert [str(post.id) for post in await read_table(app, Post)] == [others["id"]]
    for post in (published, draft):
        answer = await clients["admin"].get(f"/posts/{post['id']}")
        assert_refused(answer, *UNKNOWN)


async def test_an_author_s_new_name_shows_at_once(
    as_user: AsyncClient, client: AsyncClient, published: dict[str, Any]
) -> None:
    await as_user.patch("/users/me", json={"name": "Renamed"})

    post = (await client.get(f"/posts/{published['id']}")).json()
    listed = (await client.get("/posts")).json()["items"]
    assert post["author"] == {**published["author"], "name": "Renamed"}
    assert listed == [post]

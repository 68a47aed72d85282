"""The contract's rows about posts, on both stacks."""

from httpx import AsyncClient
from support_stacks import Stack
from uuid_utils.compat import uuid7

from bedplate.example.posts.models import Post
from bedplate.testing.assertions import assert_refused

NEW = {"title": " A title ", "content": "Words"}


async def test_a_post_is_written_and_found(
    as_user: AsyncClient, client: AsyncClient, stack: Stack
) -> None:
    created = await as_user.post("/posts", json={**NEW, "publish": True})

    assert created.status_code == 201
    post = created.json()
    assert (post["title"], post["author"]["name"]) == ("A title", "A User")
    assert created.headers["location"] == f"{stack.prefix}/posts/{post['id']}"
    read = await client.get(f"/posts/{post['id']}")
    assert read.json() == post
    assert read.headers["etag"] == created.headers["etag"]


async def test_a_draft_is_known_to_its_author_and_admins_alone(
    client: AsyncClient,
    as_user: AsyncClient,
    as_other: AsyncClient,
    as_admin: AsyncClient,
    draft: Post,
) -> None:
    path = f"/posts/{draft.id}"
    for knowing in (as_user, as_admin):
        assert (await knowing.get(path)).status_code == 200
        assert (await knowing.get("/posts")).json()["total"] == 1
        mine = await knowing.get("/posts", params={"status": "draft", "q": "DRA"})
        assert mine.json()["total"] == 1
    for ignorant in (client, as_other):
        refused = await ignorant.get(path)
        assert_refused(refused, 404, "NOT_FOUND")
        unheard_of = await ignorant.get(f"/posts/{uuid7()}")
        assert (
            refused.json()["error"]["message"]
            == (unheard_of.json()["error"]["message"])
        )
        for query in ({}, {"status": "draft"}, {"author_id": str(draft.author_id)}):
            assert (await ignorant.get("/posts", params=query)).json()["total"] == 0
    for deed in (as_other.patch(path, json={}), as_other.delete(path)):
        assert_refused(await deed, 404, "NOT_FOUND")


async def test_a_post_that_is_published_twice_keeps_its_moment(
    as_user: AsyncClient, as_other: AsyncClient, draft: Post
) -> None:
    path = f"/posts/{draft.id}"
    first = await as_user.post(f"{path}/publish")
    assert first.status_code == 200
    assert first.json()["published_at"]
    again = await as_user.post(f"{path}/publish")
    assert again.json()["published_at"] == first.json()["published_at"]
    assert_refused(await as_other.post(f"{path}/unpublish"), 403, "FORBIDDEN")
    back = await as_user.post(f"{path}/unpublish")
    assert back.json()["published_at"] is None


async def test_a_post_is_changed_by_its_author_or_an_admin(
    as_user: AsyncClient, as_other: AsyncClient, as_admin: AsyncClient, draft: Post
) -> None:
    path = f"/posts/{draft.id}"
    await as_user.post(f"{path}/publish")
    for writer, title in ((as_user, "One"), (as_admin, "Two")):
        changed = await writer.patch(path, json={"title": title})
        assert (changed.status_code, changed.json()["title"]) == (200, title)
        assert (await writer.get(path)).json() == changed.json()
    assert_refused(await as_other.patch(path, json={"title": "X"}), 403, "FORBIDDEN")
    assert_refused(await as_other.delete(path), 403, "FORBIDDEN")
    gone = await as_admin.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert_refused(await as_admin.get(path), 404, "NOT_FOUND")


async def test_an_etag_spares_the_body_and_stops_the_stale(
    as_user: AsyncClient, draft: Post
) -> None:
    path = f"/posts/{draft.id}"
    etag = (await as_user.get(path)).headers["etag"]
    same = await as_user.get(path, headers={"If-None-Match": f'"x", {etag}'})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == etag

    changed = await as_user.patch(path, json={"title": "T"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    for stale in (
        await as_user.patch(path, json={"title": "U"}, headers={"If-Match": etag}),
        await as_user.post(f"{path}/publish", headers={"If-Match": etag}),
        await as_user.delete(path, headers={"If-Match": etag}),
    ):
        assert_refused(stale, 412, "PRECONDITION_FAILED")
    now = await as_user.get(path, headers={"If-None-Match": etag})
    assert now.json() == changed.json()
    gone = await as_user.delete(path, headers={"If-Match": now.headers["etag"]})
    assert gone.status_code == 204

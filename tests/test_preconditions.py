"""ETag, If-None-Match and If-Match, on every resource that the document knows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from httpx import AsyncClient, Response
from support import Clients
from support_jobs import mark_dead
from uuid_utils.compat import uuid7

from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.jobs import enqueue
from bedplate.main import Application
from bedplate.module import Module
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.models import User
from bedplate.schemas import ResponseSchema
from bedplate.testing.assertions import assert_refused
from bedplate.testing.guards import example, operations
from bedplate.testing.plugin import MakeUser, client_for, running

STALE = '"stale"'
POST = {"title": "T", "content": "C"}
NO_GET: dict[str, Any] = {"responses": {"200": {}}}
MakeResource = Callable[[], Awaitable[tuple[AsyncClient, str]]]


def resources(document: dict[str, Any]) -> set[str]:
    """Return the paths that answer GET with one resource, and so with an ETag."""
    return {
        path
        for path, item in document["paths"].items()
        if "ETag" in item.get("get", NO_GET)["responses"]["200"].get("headers", {})
    }


def writes(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every write of one resource: its method, its path and the resource's path."""
    for name, _ in operations(document):
        method, _, path = name.partition(" ")
        for resource in resources(document):
            action = path.removeprefix(f"{resource}/")
            is_action = action != path and "/" not in action and "{" not in action
            if (method == "POST" and is_action and "{" in resource) or (
                method in {"PUT", "PATCH", "DELETE"} and path == resource
            ):
                yield method, path, resource


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Without the worker, since whole tables are compared, its heartbeat among them."""
    return {"embedded_worker": False}


@pytest.fixture
def makers(
    app: Application, clients: Clients, make_user: MakeUser, sign_in: Any
) -> dict[str, MakeResource]:
    """How to make each resource anew: its address, and a client that may write it."""

    async def make_me() -> tuple[AsyncClient, str]:
        return await sign_in((await make_user()).id), "/users/me"

    async def make_account() -> tuple[AsyncClient, str]:
        return clients["admin"], f"/users/{(await make_user()).id}"

    async def make_post() -> tuple[AsyncClient, str]:
        post = (await clients["user"].post("/posts", json=POST)).json()
        return clients["user"], f"/posts/{post['id']}"

    async def make_dead_job() -> tuple[AsyncClient, str]:
        async with app.state.runtime.database.unit_of_work() as session:
            job_id = await enqueue(
                session, send_email, template="welcome", to="a@example.com", context={}
            )
            await mark_dead(session, job_id)
        return clients["admin"], f"/jobs/{job_id}"

    return {
        "/api/v1/users/me": make_me,
        "/api/v1/users/{user_id}": make_account,
        "/api/v1/posts/{post_id}": make_post,
        "/api/v1/jobs/{job_id}": make_dead_job,
    }


async def stored(app: Application) -> dict[str, list[str]]:
    """All tables of the database, the job engine's on SQLite included."""
    async with app.state.runtime.database.engine.connect() as connection:
        tables = await connection.run_sync(lambda c: sa.inspect(c).get_table_names())
        rows_by_table = {}
        for table in tables:
            rows = await connection.execute(sa.select("*").select_from(sa.table(table)))
            rows_by_table[table] = sorted(map(repr, rows.all()))
    return rows_by_table


def test_every_write_of_a_resource_declares_if_match(app: Application) -> None:
    document = app.openapi()
    changes = list(writes(document))

    assert len(changes) >= 12
    for method, path, _ in changes:
        operation = document["paths"][path][method.lower()]
        parameters = {(p["in"], p["name"].lower()) for p in operation["parameters"]}
        assert ("header", "if-match") in parameters, f"{method} {path}"
        assert "412" in operation["responses"], f"{method} {path}"
    for path in resources(document):
        responses = document["paths"][path]["get"]["responses"]
        assert "ETag" in responses["304"]["headers"], path


async def test_every_write_of_a_resource_honours_if_match(
    app: Application, makers: dict[str, MakeResource]
) -> None:
    document = app.openapi()
    assert resources(document) == makers.keys()
    for method, template, resource in writes(document):
        client, address = await makers[resource]()
        path = address + template.removeprefix(resource)
        etag = (await client.get(address)).headers["etag"]
        body = body_for(document, method, template)

        async def write(
            *tags: str,
            client: AsyncClient = client,
            body: Any = body,
            wanted: tuple[str, str] = (method, path),
        ) -> Response:
            headers = [("If-Match", tag) for tag in tags]
            return await client.request(*wanted, json=body, headers=headers)

        before = await stored(app)
        assert_refused(await write(STALE, '"b"'), 412, "PRECONDITION_FAILED")
        for stale in (
            STALE,
            f"W/{STALE}",
            etag.strip('"'),
            f'w/{etag}, "a"',
            f'"a"{etag}',
            "",
            f"{STALE}, {STALE}",
        ):
            assert_refused(await write(stale), 412, "PRECONDITION_FAILED")
        too_long = await write(f'"{"x" * 1000}"')
        assert_refused(too_long, 422, "VALIDATION_ERROR", "header.if-match")
        assert await stored(app) == before, f"{method} {template} wrote something"

        two_lines = [f'"{"x" * 600}"'] * 2
        assert_refused(
            await write(*two_lines), 422, "VALIDATION_ERROR", "header.if-match"
        )

        # In two lines, and the weak form that a compressing proxy makes of our tag.
        answer = await write(f'{STALE}, "a,b" , W/"c"', f"W/{etag}")
        assert answer.status_code in {200, 204}, answer.text
        if method != "DELETE":
            tag = (await client.get(address)).headers["etag"]
            assert (await write(f'"a",{tag}')).status_code in {200, 409}
            assert (await write("*")).status_code in {200, 409}


def body_for(document: dict[str, Any], method: str, path: str) -> Any:
    content = document["paths"][path][method.lower()].get("requestBody")
    if content is None:
        return None
    whole = example(document, content["content"]["application/json"]["schema"])
    return {name: whole[name] for name in ("name", "title") if name in whole}


async def test_who_may_not_write_isn_t_told_by_if_match(
    app: Application, clients: Clients, user: User
) -> None:
    """404 and 403 come first: a 412 would say that it is there."""
    stale = {"If-Match": STALE}
    post = (await clients["user"].post("/posts", json=POST)).json()
    for who, path in [
        ("other", f"/posts/{post['id']}"),
        ("admin", f"/posts/{uuid7()}"),
        ("other", f"/users/{user.id}"),
        ("admin", f"/users/{uuid7()}"),
        ("admin", f"/jobs/{uuid7()}"),
    ]:
        answer = await clients[who].delete(path, headers=stale)
        assert_refused(answer, 404, "NOT_FOUND")


async def test_a_tag_is_known_alone_in_a_list_weak_or_as_any(
    makers: dict[str, MakeResource],
) -> None:
    for make in makers.values():
        client, address = await make()
        fresh = await client.get(address)
        etag = fresh.headers["etag"]
        assert etag.startswith('"')
        assert fresh.headers["cache-control"] == "private, no-cache"

        for tag in (etag, f"W/{etag}", "*", " * ", f'"a,b", W/"c" ,{etag}'):
            answer = await client.get(address, headers={"If-None-Match": tag})
            assert (answer.status_code, answer.content) == (304, b""), tag
            stored_as = "W/" if tag == f"W/{etag}" else ""
            assert answer.headers["etag"] == f"{stored_as}{etag}"
            assert answer.headers["cache-control"] == "private, no-cache"
            assert "content-length" not in answer.headers
        lines = [("If-None-Match", STALE), ("If-None-Match", etag)]
        assert (await client.get(address, headers=lines)).status_code == 304
        for unknown in (STALE, etag.strip('"'), f"x{etag}", "", f"{etag}x", '"'):
            answer = await client.get(address, headers={"If-None-Match": unknown})
            assert (answer.status_code, answer.json()) == (200, fresh.json()), unknown
        too_long = {"If-None-Match": "x" * 1001}
        refused = await client.get(address, headers=too_long)
        assert_refused(refused, 422, "VALIDATION_ERROR", "header.If-None-Match")


async def test_no_stranger_learns_of_a_draft_by_its_tag(
    client: AsyncClient, as_user: AsyncClient
) -> None:
    written = await as_user.post("/posts", json=POST)
    for tag in ("*", written.headers["etag"]):
        path = f"/posts/{written.json()['id']}"
        answer = await client.get(path, headers={"If-None-Match": tag})
        assert_refused(answer, 404, "NOT_FOUND")
    listed = await client.get("/posts", headers={"If-None-Match": "*"})
    assert (listed.status_code, "etag" in listed.headers) == (200, False)


async def test_a_write_s_answer_carries_the_tag_of_the_next_read(
    clients: Clients, user: User
) -> None:
    post = await clients["user"].post("/posts", json=POST)
    path = f"/posts/{post.json()['id']}"
    answers = [(post, path)]
    for action in ("publish", "publish", "unpublish"):
        answers += [(await clients["user"].post(f"{path}/{action}"), path)]
        assert answers[-1][0].headers["etag"] == await tag_of(clients["user"], path)
    answers = [
        (await clients["user"].patch(path, json={"title": "Ü"}), path),
        (await clients["user"].patch("/users/me", json={"name": "é😀"}), "/users/me"),
        (
            await clients["admin"].patch(f"/users/{user.id}", json={"name": "É"}),
            "/users/me",
        ),
    ]
    assert answers[0][0].headers["etag"] != post.headers["etag"]
    assert answers[2][0].headers["etag"] == await tag_of(clients["user"], "/users/me")


async def tag_of(client: AsyncClient, path: str) -> str:
    return str((await client.get(path)).headers["etag"])


async def test_a_tag_changes_with_the_embedded_author_s_name(
    clients: Clients,
) -> None:
    body = {**POST, "publish": True}
    post = await clients["user"].post("/posts", json=body)
    path, etag = f"/posts/{post.json()['id']}", {"If-Match": post.headers["etag"]}
    await clients["user"].patch("/users/me", json={"name": "Renamed"})

    headers = {"If-None-Match": post.headers["etag"]}
    fresh = await clients["stranger"].get(path, headers=headers)
    assert (fresh.status_code, fresh.json()["author"]["name"]) == (200, "Renamed")
    stale = await clients["user"].patch(path, json={"title": "X"}, headers=etag)
    assert_refused(stale, 412, "PRECONDITION_FAILED")
    assert fresh.headers["etag"] == await tag_of(clients["admin"], path)


async def test_of_writers_at_once_with_one_tag_one_wins(
    makers: dict[str, MakeResource],
) -> None:
    for resource, field in [
        ("/api/v1/users/{user_id}", "name"),
        ("/api/v1/posts/{post_id}", "title"),
    ]:
        client, address = await makers[resource]()
        headers = {"If-Match": await tag_of(client, address)}
        answers = await asyncio.gather(
            *(
                client.patch(address, json={field: f"Writer {n}"}, headers=headers)
                for n in range(6)
            )
        )

        assert sorted(a.status_code for a in answers) == [200, *[412] * 5]
        [winner] = [a for a in answers if a.status_code == 200]
        assert (await client.get(address)).json() == winner.json()


class Thing(ResponseSchema, frozen=True):
    id: int
    text: str
    number: float
    nothing: None


planted = Router(prefix="/things")


@planted.get("/{number}", response_model=Thing)
async def get_thing(number: int) -> Thing:
    return Thing(number, 'é"</script>\u2028\x7f😀', 0.1, None)


async def test_tags_are_equal_whoever_runs_the_routes(
    settings: Settings,
    app: Application,
    modules: Any,
    makers: dict[str, MakeResource],
) -> None:
    """Or a tag would be stale after a change of settings, or on FastAPI's own way."""
    stock = settings.model_copy(update={"compiled_routes": False})
    both = (*modules, Module(name="planted", router=planted))
    async with (
        running(stock, modules=both) as other,
        running(settings, modules=both) as c,
    ):
        for make in makers.values():
            client, address = await make()
            async with client_for(other) as second:
                second.headers.update(client.headers)
                etag = await tag_of(client, address)
                assert await tag_of(second, address) == etag
                headers = {"If-None-Match": etag}
                assert (await second.get(address, headers=headers)).status_code == 304
                stale, fresh = {"If-Match": STALE}, {"If-Match": etag}
                refused = await second.delete(address, headers=stale)
                assert_refused(refused, 412, "PRECONDITION_FAILED")
                assert (await second.delete(address, headers=fresh)).status_code == 204
        async with client_for(other) as first, client_for(c) as second:
            assert await tag_of(first, "/things/7") == await tag_of(second, "/things/7")

"""Idempotency-Key: what is sent twice is done once, and answered alike."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from fastapi import Depends, Request, Response
from httpx import AsyncClient
from httpx import Response as Answer
from pydantic import BaseModel
from starlette.responses import PlainTextResponse
from support import Clients, execute

from bedplate.api.dependencies import (
    CurrentUser,
    RuntimeDep,
    SessionDep,
    require_permission,
)
from bedplate.api.routing import Router
from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.errors import ServiceUnavailable
from bedplate.example import BUILT_IN
from bedplate.example.posts.models import Post
from bedplate.example.posts.permissions import WRITE_ANY
from bedplate.idempotency import IdempotencyKey
from bedplate.jobs import JobRun
from bedplate.limits import hit
from bedplate.main import Application
from bedplate.module import Module
from bedplate.modules.auth.tasks import remove_expired
from bedplate.modules.users.models import User
from bedplate.testing.application import make_application
from bedplate.testing.assertions import assert_refused

KEY = {"Idempotency-Key": "a-key"}
POST = {"title": "Tïtle", "content": "C"}
ACCOUNT = {"email": "new@example.com", "name": "New", "password": "Correct-h0rse"}
REPLAYED = "idempotent-replayed"
OF_THE_EXCHANGE = {REPLAYED, "x-request-id"}

both_stacks = pytest.mark.parametrize(
    "setting_overrides",
    [{"compiled_routes": True}, {"compiled_routes": False}],
    ids=["compiled", "stock"],
)


# A module of a user's own, with whatever an endpoint may have.

planted = Router(prefix="/planted")
calls: list[str] = []
Moderator = Annotated[Caller, require_permission(WRITE_ANY)]


class Created(BaseModel):
    number: int
    path: str


async def stamp(response: Response) -> None:
    """Set a header, as a dependency may."""
    response.headers["X-Stamp"] = "stamped"


@planted.post("/made", status_code=201, dependencies=[Depends(stamp)])
async def make(
    request: Request, session: SessionDep, caller: CurrentUser, number: int = 0
) -> Created:
    await write(session, caller)
    return Created(number=number, path=request.url.path)


@planted.post("/moderated", status_code=201)
async def moderate(who: Moderator, session: SessionDep) -> Created:
    await write(session, who)
    return Created(number=1, path="")


@planted.post("/own-response", status_code=201)
async def make_response(session: SessionDep, caller: CurrentUser) -> Response:
    await write(session, caller)
    return Response("<b>ü", 201, {"X-Own": "1"}, media_type="text/html")


@planted.post("/partly", status_code=201, response_model_exclude={"path"})
async def make_partly(session: SessionDep, caller: CurrentUser) -> Created:
    await write(session, caller)
    return Created(number=1, path="secret")


@planted.post("/text", status_code=201, response_class=PlainTextResponse)
async def make_text(session: SessionDep, caller: CurrentUser) -> str:
    await write(session, caller)
    return "text"


async def author_of(caller: CurrentUser) -> Caller:
    return caller


@planted.post("/deeper", status_code=201)
async def make_deeper(
    session: SessionDep, author: Annotated[Caller, Depends(author_of)]
) -> Created:
    """Whose caller is a dependency's own affair."""
    await write(session, author)
    return Created(number=2, path="")


@planted.post("/open", status_code=201)
async def make_without_caller() -> Created:
    calls.append("open")
    return Created(number=len(calls), path="")


class Gate:
    """Where a request waits until a test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()


@planted.post("/slow", status_code=201)
async def wait(request: Request, session: SessionDep, caller: CurrentUser) -> Created:
    calls.append("slow")
    request.app.state.gate.reached.set()
    await request.app.state.gate.opened.wait()
    await write(session, caller)
    return Created(number=1, path="")


@planted.post("/limited", status_code=201)
async def count(
    session: SessionDep, caller: CurrentUser, runtime: RuntimeDep
) -> Created:
    """Count in a separate unit of work, as limits do."""
    await runtime.limits.count(hit("1 per hour", str(caller.id)))
    await write(session, caller)
    return Created(number=1, path="")


@planted.post("/fails-once", status_code=201)
async def fail_once(session: SessionDep, caller: CurrentUser, how: str) -> Created:
    await write(session, caller)
    calls.append(how)
    if calls.count(how) == 1:
        raise ServiceUnavailable if how == "unavailable" else ZeroDivisionError
    return Created(number=len(calls), path="")


async def write(session: SessionDep, caller: Caller) -> None:
    await session.insert(Post(author_id=caller.id, title="T", content="C"))


@pytest.fixture(scope="session")
def application() -> Any:
    return make_application((*BUILT_IN, Module(name="planted", router=planted)))


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    calls.clear()


@pytest.fixture
def gate(app: Application) -> Gate:
    gate = app.state.gate = Gate()
    return gate


async def count_rows(app: Application, *models: Any) -> list[int]:
    async with app.state.runtime.database.engine.connect() as connection:
        return [
            int(await connection.scalar(sa.select(sa.func.count()).select_from(model)))
            for model in models
        ]


def assert_replayed(again: Answer, first: Answer) -> None:
    assert again.headers.get(REPLAYED) == "true", again.text
    assert REPLAYED not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    headers = [
        sorted((k, v) for k, v in a.headers.items() if k not in OF_THE_EXCHANGE)
        for a in (again, first)
    ]
    assert headers[0] == headers[1]


@both_stacks
async def test_a_repeat_gets_the_first_answer_and_does_nothing(
    app: Application, as_user: AsyncClient, user: User
) -> None:
    first = await as_user.post("/posts", json=POST, headers=KEY)
    await as_user.patch("/users/me", json={"name": "Renamed"})
    again = [await as_user.post("/posts", json=POST, headers=KEY) for _ in range(2)]

    assert first.status_code == 201
    assert first.headers["location"].endswith(first.json()["id"])
    assert first.json()["author"]["name"] == user.name
    for answer in again:
        assert_replayed(answer, first)
    assert await count_rows(app, Post, IdempotencyKey) == [1, 1]


@both_stacks
async def test_a_key_is_of_one_request_one_caller_and_one_path(
    app: Application, clients: Clients
) -> None:
    longest = {"Idempotency-Key": "!~" + "x" * 253}
    first = await clients["user"].post("/posts", json=POST, headers=longest)
    for body in ({**POST, "title": "Other"}, {"title": ""}, {}):
        reused = await clients["user"].post("/posts", json=body, headers=longest)
        assert_refused(reused, 422, "IDEMPOTENCY_KEY_REUSED")
    others = [
        await clients["other"].post("/posts", json=POST, headers=longest),
        await clients["admin"].post("/posts", json=POST, headers=longest),
        await clients["admin"].post("/users", json=ACCOUNT, headers=longest),
        await clients["user"].post("/posts", json=POST, headers=KEY),
        await clients["user"].post("/posts", json=POST),
        await clients["user"].post("/planted/made", headers=longest),
    ]

    for answer in others:
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
    queried = await clients["user"].post("/planted/made?number=2", headers=longest)
    assert_refused(queried, 422, "IDEMPOTENCY_KEY_REUSED")
    repeat = await clients["user"].post("/posts", json=POST, headers=longest)
    assert_replayed(repeat, first)
    assert await count_rows(app, Post) == [6]


@both_stacks
async def test_a_refusal_is_replayed_too(
    app: Application, clients: Clients, other: User
) -> None:
    admin, taken = clients["admin"], {**ACCOUNT, "email": other.email}
    first = await admin.post("/users", json=taken, headers=KEY)
    assert_refused(first, 409, "EMAIL_TAKEN")
    await admin.delete(f"/users/{other.id}")
    assert_replayed(await admin.post("/users", json=taken, headers=KEY), first)

    wrong = await clients["user"].post("/posts", json={"title": "T"}, headers=KEY)
    assert_refused(wrong, 422, "VALIDATION_ERROR", "body.content")
    repeat = await clients["user"].post("/posts", json={"title": "T"}, headers=KEY)
    assert_replayed(repeat, wrong)
    mended = await clients["user"].post("/posts", json=POST, headers=KEY)
    assert_refused(mended, 422, "IDEMPOTENCY_KEY_REUSED")

    denied = await clients["user"].post("/planted/moderated", headers=KEY)
    assert_refused(denied, 403, "FORBIDDEN")
    repeat = await clients["user"].post("/planted/moderated", headers=KEY)
    assert_replayed(repeat, denied)


async def test_what_may_pass_is_not_kept(
    app: Application, as_user: AsyncClient, clients: Clients
) -> None:
    bad = {**KEY, "Authorization": "Bearer x"}
    assert_refused(
        await as_user.post("/posts", json=POST, headers=bad), 401, "UNAUTHENTICATED"
    )
    for how, status in [("unavailable", 503), ("bug", 500)]:
        path = f"/planted/fails-once?how={how}"
        failed = await as_user.post(path, headers={"Idempotency-Key": how})
        assert failed.status_code == status
        assert await count_rows(app, Post, IdempotencyKey) == [0, 0]
    answers = [await as_user.post("/posts", json=POST, headers=KEY)]
    for how in ("unavailable", "bug"):
        path = f"/planted/fails-once?how={how}"
        answers.append(await as_user.post(path, headers={"Idempotency-Key": how}))

    for answer in answers:
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)


@pytest.mark.parametrize(
    "setting_overrides", [{"limit_sign_ups_per_address": "1 per hour"}]
)
async def test_what_is_counted_on_the_way_is_no_obstacle_and_429_is_not_kept(
    app: Application, as_user: AsyncClient
) -> None:
    """The count has a unit of work of its own, and SQLite one writer."""
    created = await as_user.post("/planted/limited", headers=KEY)
    signed_up = await as_user.post("/users", json=ACCOUNT, headers=KEY)
    assert (created.status_code, signed_up.status_code) == (201, 201), created.text
    assert_replayed(await as_user.post("/planted/limited", headers=KEY), created)

    another, key = {**ACCOUNT, "email": "b@example.com"}, {"Idempotency-Key": "b"}
    for path, body in [("/planted/limited", None), ("/users", another)]:
        limited = await as_user.post(path, json=body, headers=key)
        assert_refused(limited, 429, "RATE_LIMITED")
    await app.state.runtime.limits._windows.storage.reset()  # an hour later
    for path, body in [("/planted/limited", None), ("/users", another)]:
        answer = await as_user.post(path, json=body, headers=key)
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)


@both_stacks
async def test_a_bad_key_is_refused_and_nothing_is_written(
    app: Application, clients: Clients
) -> None:
    people = await count_rows(app, User)
    for key in (b"", b"a b", b"\xe9", b"\x7f", b"x" * 256, "ü".encode(), b"a\tb"):
        for who, path, body in [
            ("user", "/posts", POST),
            ("user", "/posts", {}),
            ("stranger", "/users", ACCOUNT),
            ("admin", "/users", ACCOUNT),
            ("user", "/planted/made", None),
        ]:
            headers = {b"Idempotency-Key": key}
            answer = await clients[who].post(path, json=body, headers=headers)
            assert_refused(answer, 422, "VALIDATION_ERROR", "header.Idempotency-Key")
    assert await count_rows(app, User, Post, IdempotencyKey) == [*people, 0, 0]


async def test_a_stranger_s_key_is_not_kept(
    app: Application, client: AsyncClient
) -> None:
    """All strangers would share it, and see each other's answers."""
    first = await client.post("/users", json=ACCOUNT, headers=KEY)
    again = await client.post("/users", json=ACCOUNT, headers=KEY)

    assert first.status_code == 201
    assert_refused(again, 409, "EMAIL_TAKEN")
    assert_refused(await client.post("/posts", headers=KEY), 401, "UNAUTHENTICATED")
    assert await count_rows(app, IdempotencyKey) == [0]


async def test_only_what_creates_has_keys(
    app: Application, as_user: AsyncClient
) -> None:
    post = (await as_user.post("/posts", json=POST)).json()
    for _ in range(2):
        answer = await as_user.post(f"/posts/{post['id']}/publish", headers=KEY)
        assert (answer.status_code, REPLAYED in answer.headers) == (200, False)
    assert await count_rows(app, IdempotencyKey) == [0]
    declared = {
        f"{method} {path}"
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", ()))
    }
    built_in = {f"post /api/v1/{path}" for path in ("users", "posts")}
    planted_paths = [
        "made",
        "moderated",
        "own-response",
        "partly",
        "text",
        "deeper",
        "slow",
        "limited",
        "fails-once",
    ]
    planted = {f"post /api/v1/planted/{path}" for path in planted_paths}
    assert declared == built_in | planted


@both_stacks
async def test_of_many_at_once_with_one_key_one_is_done(
    app: Application, clients: Clients
) -> None:
    people = (await count_rows(app, User))[0]
    for who, path, body in [("user", "/posts", POST), ("admin", "/users", ACCOUNT)]:
        answers = await asyncio.gather(
            *(clients[who].post(path, json=body, headers=KEY) for _ in range(20))
        )
        done = [a for a in answers if a.status_code == 201]
        [first] = [a for a in done if REPLAYED not in a.headers]
        for answer in answers:
            if answer.status_code != 201:
                assert_refused(answer, 409, "IDEMPOTENCY_IN_PROGRESS")
            elif answer is not first:
                assert_replayed(answer, first)
        repeat = await clients[who].post(path, json=body, headers=KEY)
        assert_replayed(repeat, first)
    assert await count_rows(app, Post, User) == [1, people + 1]


async def test_while_the_first_is_under_way_a_repeat_is_told_so_and_others_go_on(
    app: Application, as_user: AsyncClient, gate: Gate
) -> None:
    slow = asyncio.create_task(as_user.post("/planted/slow", headers=KEY))
    await asyncio.wait_for(gate.reached.wait(), 20)

    repeat = await as_user.post("/planted/slow", headers=KEY)
    assert_refused(repeat, 409, "IDEMPOTENCY_IN_PROGRESS")
    other = await as_user.post("/posts", json=POST, headers=KEY)
    assert other.status_code == 201
    gate.opened.set()
    first = await slow
    assert first.status_code == 201
    assert_replayed(await as_user.post("/planted/slow", headers=KEY), first)
    assert calls == ["slow"]


async def test_who_goes_away_leaves_the_key_to_the_repeat(
    app: Application, as_user: AsyncClient, gate: Gate
) -> None:
    slow = asyncio.create_task(as_user.post("/planted/slow", headers=KEY))
    await asyncio.wait_for(gate.reached.wait(), 20)
    slow.cancel()
    await asyncio.wait([slow])
    gate.opened.set()

    repeat = await as_user.post("/planted/slow", headers=KEY)
    assert (repeat.status_code, REPLAYED in repeat.headers) == (201, False)
    assert await count_rows(app, Post, IdempotencyKey) == [1, 1]


async def test_after_a_day_a_key_is_a_new_one(
    app: Application, as_user: AsyncClient
) -> None:
    first = await as_user.post("/posts", json=POST, headers=KEY)
    async with app.state.runtime.database.engine.connect() as connection:
        expiry = await connection.scalar(sa.select(IdempotencyKey.expires_at))
    day = timedelta(hours=24)
    assert timedelta(0) <= utc_now() + day - expiry < timedelta(minutes=1)

    past = utc_now() - timedelta(seconds=1)
    await execute(app, sa.update(IdempotencyKey).values(expires_at=past))
    body = {**POST, "title": "Another"}
    anew = await as_user.post("/posts", json=body, headers=KEY)

    assert (anew.status_code, REPLAYED in anew.headers) == (201, False)
    assert anew.json()["id"] != first.json()["id"]
    assert_replayed(await as_user.post("/posts", json=body, headers=KEY), anew)
    assert await count_rows(app, Post, IdempotencyKey) == [2, 1]


async def test_expired_keys_are_deleted_and_an_account_s_go_with_it(
    app: Application, as_user: AsyncClient, clients: Clients
) -> None:
    assert remove_expired.cron == "43 * * * *"  # hourly
    await as_user.post("/posts", json=POST, headers=KEY)
    past = utc_now() - timedelta(seconds=1)
    await execute(app, sa.update(IdempotencyKey).values(expires_at=past))
    repeated = await clients["other"].post("/posts", json=POST, headers=KEY)
    await remove_expired(JobRun(app.state.runtime, "housekeeping", 1))
    assert await count_rows(app, IdempotencyKey) == [1]
    again = await clients["other"].post("/posts", json=POST, headers=KEY)
    assert_replayed(again, repeated)

    await clients["other"].delete("/users/me")
    assert await count_rows(app, IdempotencyKey) == [0]


async def test_a_record_holds_no_key(app: Application, as_user: AsyncClient) -> None:
    """Whoever reads the table can replay nothing."""
    await as_user.post("/posts", json=POST, headers=KEY)
    async with app.state.runtime.database.engine.connect() as connection:
        rows = (await connection.execute(sa.select(IdempotencyKey))).all()
    assert KEY["Idempotency-Key"] not in repr(rows)


@both_stacks
async def test_endpoints_of_one_s_own_get_it_as_well(
    app: Application, clients: Clients
) -> None:
    user = clients["user"]
    first = await user.post("/planted/made?number=3", headers=KEY)
    assert first.json() == {"number": 3, "path": "/api/v1/planted/made"}
    assert first.headers["x-stamp"] == "stamped"
    plain = await user.post("/planted/made?number=3")
    assert plain.headers["x-stamp"] == "stamped"
    assert_replayed(await user.post("/planted/made?number=3", headers=KEY), first)

    moderated = await clients["admin"].post("/planted/moderated", headers=KEY)
    repeat = await clients["admin"].post("/planted/moderated", headers=KEY)
    assert_replayed(repeat, moderated)

    deeper = await user.post("/planted/deeper", headers=KEY)
    assert_replayed(await user.post("/planted/deeper", headers=KEY), deeper)

    for number in (1, 2):
        without = await user.post("/planted/open", headers=KEY)
        assert without.json()["number"] == number

    response = await user.post("/planted/own-response", headers=KEY)
    assert (response.status_code, response.text, response.headers["x-own"]) == (
        201,
        "<b>ü",
        "1",
    )
    assert response.headers["content-type"].startswith("text/html")
    assert_replayed(await user.post("/planted/own-response", headers=KEY), response)
    assert await count_rows(app, Post) == [5]


@both_stacks
@pytest.mark.parametrize("path", ["/planted/partly", "/planted/text"])
async def test_a_key_changes_nothing_of_what_the_response_shows(
    as_user: AsyncClient, path: str
) -> None:
    """Neither what its options leave out, nor its class."""
    plain = await as_user.post(path)
    keyed = await as_user.post(path, headers=KEY)
    repeat = await as_user.post(path, headers=KEY)

    assert plain.status_code == keyed.status_code == 201
    assert plain.text == keyed.text == repeat.text
    assert "secret" not in keyed.text
    types = {answer.headers["content-type"] for answer in (plain, keyed, repeat)}
    assert len(types) == 1

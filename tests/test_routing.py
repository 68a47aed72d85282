"""The compiled routes and FastAPI's own handling give the same answers."""

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields, replace
from typing import Annotated, Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, Response
from fastapi.dependencies.models import (
    Dependant,
    _get_cache_key,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.routing import (
    APIRoute,
    RouteContext,
    _EffectiveRouteContext,
    _IncludedRouter,
    iter_route_contexts,
)
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

from bedplate.api.compiled import RouteTable
from bedplate.api.dependencies import CurrentUser, SessionDep, get_runtime
from bedplate.api.routing import Route, Router
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import API, PASSWORD, MakeUser, SignIn, client_for, running

both_stacks = pytest.mark.parametrize(
    "setting_overrides",
    [{"compiled_routes": True}, {"compiled_routes": False}],
    ids=["compiled", "stock"],
)


@pytest_asyncio.fixture
async def stock(settings: Settings) -> AsyncIterator[Application]:
    """FastAPI's own way, on the same database as `app`."""
    plain = settings.model_copy(update={"compiled_routes": False})
    async with running(plain, modules=BUILT_IN) as application:
        yield application


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SIGN_UP = {"email": "{n}@example.com", "name": "New", "password": "Correct-h0rse"}
PATCHES: list[Any] = [{}, {"name": "N"}, {"name": None}, {"role": "x", "nope": 1}, []]
SIGN_IN = {"username": "user@example.com", "password": PASSWORD}


def corpus(user: User) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Send requests of every kind, right and wrong. Both stacks write the same."""
    one = f"/users/{user.id}"
    for path in ("/users/me", one, f"/users/{uuid7()}", "/users/no-uuid"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "TRACE"):
            yield method, path, {}
        for body in PATCHES:
            yield "PATCH", path, {"json": body}
    for raw in (
        b"",
        b"{",
        b"null",
        b'{"name": "\\u0000"}',
        b'{"name": "\xff"}',
        b"[1]",
    ):
        yield "PATCH", "/users/me", {"content": raw, "headers": JSON}
        yield "POST", "/users", {"content": raw, "headers": JSON}
        yield "POST", "/auth/token", {"content": raw, "headers": FORM}
    for media_type in (
        "text/plain",
        "application/merge-patch+json",
        "multipart/form-data",
    ):
        headers = {"Content-Type": media_type}
        yield "PATCH", one, {"content": b'{"name": "M"}', "headers": headers}
        yield "POST", "/auth/token", {"content": b"a=b", "headers": headers}
    for query in (
        "",
        "?page=2",
        "?limit=1&sort=name",
        "?cursor=",
        "?cursor=x",
        "?q=user",
    ):
        yield "GET", f"/users{query}", {}
    for query in (
        "?page=0",
        "?page=x",
        "?nope=1",
        "?page=1&cursor=",
        "?role=x",
        "?q=%00",
    ):
        yield "GET", f"/users{query}", {}
    for action in ("deactivate", "activate", "nope"):
        yield "POST", f"{one}/{action}", {}
        yield "GET", f"{one}/{action}", {}
        yield "POST", f"/users/x/{action}", {}
    yield "POST", "/users", {"json": SIGN_UP}
    yield "POST", "/users", {"json": {**SIGN_UP, "role": "admin"}}
    yield "POST", "/users", {"json": {**SIGN_UP, "email": "user@example.com"}}
    yield "POST", "/users", {"json": SIGN_UP, "headers": {"Authorization": "Bearer x"}}
    yield "POST", "/auth/token", {"data": SIGN_IN}
    yield "POST", "/auth/token", {"data": {**SIGN_IN, "password": "wrong"}}
    yield "POST", "/auth/token", {"data": {**SIGN_IN, "grant_type": "x", "nope": "1"}}
    yield "POST", "/auth/token", {"json": SIGN_IN}
    yield "GET", "/users/me", {"headers": {"X-Request-ID": "mine"}}
    for path in ("/nope", "/users/", "/users//", "/users/%2e%2e", "/USERS", one + "/"):
        yield "GET", path, {}
    yield "DELETE", f"/users/{uuid7()}", {}
    yield "DELETE", "/users/no-uuid", {}


VOLATILE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"  # instants
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"  # tokens
    r'|(?<="refresh_token":")[\w-]+'
    r"|(?:compiled|stock)\d+@"
)
IGNORED_HEADERS = {"date", "content-length"}


DEVICE = re.compile(r"(?<=bedplate_device=)[^;]+")  # chosen at random


async def ask(client: AsyncClient, stack: str, number: int, request: Any) -> Any:
    """Return a response without the parts that differ each time."""
    method, path, options = request
    if "email" in (options.get("json") or ()):
        email = options["json"]["email"].replace("{n}", f"{stack}{number}")
        options = {**options, "json": {**options["json"], "email": email}}
    answer = await client.request(method, path, **options)
    headers = sorted(
        (name, VOLATILE.sub("…", DEVICE.sub("…", value)))
        for name, value in answer.headers.multi_items()
        if name not in IGNORED_HEADERS
        and (name != "etag" or method == "GET")  # of one account each, or of a new one
        and (answer.content or name != "content-type")  # FastAPI types an empty 204
    )
    return answer.status_code, VOLATILE.sub("…", answer.text), headers


@pytest.mark.parametrize("who", ["stranger", "user", "admin"])
async def test_both_stacks_give_equal_answers(
    app: Application,
    stock: Application,
    user: User,
    admin: User,
    sign_in: SignIn,
    who: str,
) -> None:
    statuses = set()
    for number, request in enumerate(corpus(user)):
        caller = {"user": user, "admin": admin}.get(who)
        headers = (await sign_in(caller.id)).headers if caller else {}
        answers = []
        for stack, application in (("compiled", app), ("stock", stock)):
            async with client_for(application) as client:
                client.headers.update(headers)
                answers.append(await ask(client, stack, number, request))
        assert answers[0] == answers[1], request
        statuses.add(answers[0][0])
    assert {201, 401, 404, 405, 415, 422} <= statuses


async def test_both_stacks_delete_alike(
    app: Application, stock: Application, make_user: MakeUser, sign_in: SignIn
) -> None:
    answers = []
    for application in (app, stock):
        leaver = await make_user()
        async with client_for(application) as client:
            client.headers.update((await sign_in(leaver.id)).headers)
            answers.append(await ask(client, "", 0, ("DELETE", "/users/me", {})))
    assert answers[0] == answers[1]
    assert answers[0][:2] == (204, "")


# Which routes are compiled.


def is_compiled(app: Application, method: str, path: str) -> bool:
    return RouteTable(app).find(method, path) is not None


def test_every_route_of_ours_is_compiled(app: Application) -> None:
    paths = app.openapi()["paths"]
    routes = [(m.upper(), path) for path, item in paths.items() for m in item]

    assert len(routes) >= 11
    assert [route for route in routes if not is_compiled(app, *route)] == []


# What users add to the application.

extras = APIRouter(prefix="/extras")
compiled_extras = Router(prefix="/extras")


@extras.get("/plain")
async def plain(caller: CurrentUser) -> dict[str, str]:
    return {"name": caller.name}


@extras.get("/threaded/{number}")
def threaded(number: int) -> dict[str, int]:
    return {"twice": number * 2}


def in_a_thread() -> str:
    return "from a thread"


@compiled_extras.get("/ours-with-a-def-dependency")
async def ours_with_def(text: Annotated[str, Depends(in_a_thread)]) -> dict[str, str]:
    return {"text": text}


@compiled_extras.get("/ours-with-def")
def ours_def() -> dict[str, str]:
    return {"text": "def"}


done: list[str] = []


@compiled_extras.get("/later")
async def later(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(done.append, "later")
    return {"text": "soon"}


@compiled_extras.get("/status")
async def status(response: Response) -> dict[str, str]:
    response.status_code = 202
    response.headers["X-Own"] = "1"
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return {}


@compiled_extras.get("/own-response")
async def own_response() -> Response:
    return Response(b"<p>", 203, media_type="text/html")


@compiled_extras.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "plain"


@compiled_extras.get("/undeclared", response_model=None)
async def undeclared() -> Any:
    return {"a": [1, None]}


@compiled_extras.get("/nothing")
async def nothing() -> None:
    return None


class Wide(BaseModel):
    visible: int = Field(1, alias="SHOWN")
    hidden: int = 2


@compiled_extras.get("/excluded", response_model_exclude={"hidden"})
async def excluded() -> Wide:
    return Wide()


@compiled_extras.get("/included", response_model_include={"hidden"})
async def included() -> Wide:
    return Wide()


@compiled_extras.get("/unaliased", response_model_by_alias=False)
async def unaliased() -> Wide:
    return Wide()


@compiled_extras.get("/files/{path:path}")
async def files(path: str) -> dict[str, str]:
    return {"path": path}


@compiled_extras.get("/twins/{first}/a")
async def twin_a(first: str) -> dict[str, str]:
    return {"a": first}


@compiled_extras.get("/twins/b/{second}")
async def twin_b(second: str) -> dict[str, str]:
    return {"b": second}


@compiled_extras.post("/rename")
async def rename(session: SessionDep, name: str) -> dict[str, str]:
    await session.execute(sa.update(User).values(name=name))
    return {"name": name}


@compiled_extras.post("/rename-and-fail")
async def rename_and_fail(session: SessionDep) -> None:
    await session.execute(sa.update(User).values(name="Never"))
    raise ZeroDivisionError


@compiled_extras.post("/threaded-bug")
def threaded_bug() -> None:
    raise ZeroDivisionError


@compiled_extras.post("/raise-500")
async def raise_500() -> None:
    raise HTTPException(500)


@pytest.fixture
def extended(app: Application) -> Application:
    app.include_router(extras, prefix="/api/v1")
    app.include_router(compiled_extras, prefix="/api/v1")
    return app


@both_stacks
async def test_what_users_add_works(
    extended: Application, as_user: AsyncClient, user: User
) -> None:
    async def get(path: str) -> Any:
        answer = await as_user.get(f"/extras/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await get("plain") == {"name": user.name}
    assert await get("threaded/21") == {"twice": 42}
    assert await get("ours-with-a-def-dependency") == {"text": "from a thread"}
    assert await get("ours-with-def") == {"text": "def"}
    assert await get("later") == {"text": "soon"}
    assert done.pop() == "later"
    assert await get("files/a/b.txt") == {"path": "a/b.txt"}
    assert await get("twins/x/a") == {"a": "x"}
    assert await get("twins/b/x") == {"b": "x"}


@both_stacks
async def test_what_users_add_is_refused_in_the_envelope(
    extended: Application, as_user: AsyncClient, client: AsyncClient
) -> None:
    wrong = await as_user.get("/extras/threaded/x")

    assert_refused(wrong, 422, "VALIDATION_ERROR", "path.number")
    assert_refused(await client.get("/extras/plain"), 401, "UNAUTHENTICATED")
    assert_refused(await client.post("/extras/plain"), 405, "METHOD_NOT_ALLOWED")


@both_stacks
async def test_an_endpoint_has_its_own_status_headers_and_response(
    extended: Application, client: AsyncClient
) -> None:
    drafted = await client.get("/extras/status")
    response = await client.get("/extras/own-response")

    assert (drafted.status_code, drafted.headers["x-own"]) == (202, "1")
    assert drafted.headers.get_list("set-cookie") == [
        "a=1; Path=/; SameSite=lax",
        "b=2; Path=/; SameSite=lax",
    ]
    assert (response.status_code, response.text) == (203, "<p>")
    assert response.headers["content-type"].startswith("text/html")


@both_stacks
async def test_an_endpoint_s_response_options_are_kept_to(
    extended: Application, client: AsyncClient
) -> None:
    for path, body in [
        ("text", "plain"),
        ("undeclared", '{"a":[1,null]}'),
        ("nothing", "null"),
        ("excluded", '{"SHOWN":1}'),
        ("included", '{"hidden":2}'),
        ("unaliased", '{"visible":1,"hidden":2}'),
    ]:
        answer = await client.get(f"/extras/{path}")
        assert (answer.status_code, answer.text) == (200, body), path


@both_stacks
async def test_a_unit_of_work_ends_before_the_answer_leaves(
    extended: Application, client: AsyncClient, as_user: AsyncClient
) -> None:
    seen: list[str] = []

    async def spy(scope: Scope, receive: Receive, send: Send) -> None:
        async def look_then_send(message: Any) -> None:
            me = await as_user.get("/users/me")
            seen.append(me.json()["name"])
            await send(message)

        await extended(scope, receive, look_then_send)

    async with client_for(spy) as spied:
        assert (await spied.post("/extras/rename?name=Done")).status_code == 200
    assert set(seen) == {"Done"}


async def test_what_a_failing_endpoint_wrote_is_rolled_back(
    extended: Application, client: AsyncClient, as_user: AsyncClient, user: User
) -> None:
    answer = await client.post("/extras/rename-and-fail")

    assert_refused(answer, 500, "INTERNAL_ERROR")
    assert (await as_user.get("/users/me")).json()["name"] == user.name


@both_stacks
async def test_dependency_overrides_work(
    app: Application, client: AsyncClient, settings: Settings
) -> None:
    body = {"email": "a@example.com", "name": "A", "password": "Correct-h0rse"}
    closed = settings.model_copy(update={"signup": "closed"})
    runtime = replace(app.state.runtime, settings=closed)

    app.dependency_overrides[get_runtime] = lambda: runtime
    assert_refused(await client.post("/users", json=body), 403, "SIGNUP_CLOSED")
    app.dependency_overrides.clear()
    assert (await client.post("/users", json=body)).status_code == 201


async def test_routes_that_come_and_go_later_are_noticed(
    app: Application, client: AsyncClient
) -> None:
    """Also those of a router that was included before, and in FastAPI's order."""
    late = Router(prefix="/late")
    app.include_router(late, prefix="/api/v1")

    async def answers(path: str) -> Any:
        answer = await client.get(path)
        return answer.json() if answer.status_code == 200 else answer.status_code

    async def static() -> dict[str, str]:
        return {"route": "static"}

    async def named(name: str) -> dict[str, str]:
        return {"route": name}

    assert await answers("/late/x") == 404
    late.add_api_route("/{name}", named)
    assert await answers("/late/x") == {"route": "x"}
    late.add_api_route("/x", static)
    assert await answers("/late/x") == {"route": "x"}, "the first declared wins"

    app.router.add_api_route("/api/v1/late/x", static, route_class_override=Route)
    app.router.routes.insert(0, app.router.routes.pop())
    assert await answers("/late/x") == {"route": "static"}
    del app.router.routes[0]
    assert await answers("/late/x") == {"route": "x"}


@both_stacks
async def test_error_handlers_may_be_plain_functions(
    extended: Application, client: AsyncClient
) -> None:
    def answer_zero(*_: Any) -> Response:
        return Response("zero", 418)

    extended.add_exception_handler(ZeroDivisionError, answer_zero)
    answer = await client.post("/extras/rename-and-fail")

    assert (answer.status_code, answer.text) == (418, "zero")


@both_stacks
async def test_a_handler_of_500_answers_bugs_and_not_what_is_raised(
    extended: Application,
) -> None:
    async def answer_bug(*_: Any) -> Response:
        return Response("a bug", 500)

    extended.add_exception_handler(500, answer_bug)
    transport = ASGITransport(extended, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url=API) as client:
        for path in ("rename-and-fail", "threaded-bug"):
            answer = await client.post(f"/extras/{path}")
            assert (answer.status_code, answer.text) == (500, "a bug"), path
        raised = await client.post("/extras/raise-500")
    assert_refused(raised, 500, "INTERNAL_ERROR")


class Stamp:
    """A user's own middleware."""

    def __init__(self, app: ASGIApp, text: str) -> None:
        self.app = app
        self.text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-stamp", self.text.encode()),
                ]
            await send(message)

        await self.app(scope, receive, stamped)


@both_stacks
async def test_user_middleware_works_the_last_added_outermost(
    app: Application, client: AsyncClient
) -> None:
    app.add_middleware(Stamp, text="inner")
    app.add_middleware(Stamp, text="outer")

    for path in ("/users/me", "/nope", "http://test/health/live"):
        answer = await client.get(path)
        assert answer.headers.get_list("x-stamp") == ["inner", "outer"]


@both_stacks
async def test_a_user_s_own_error_handler_is_asked(
    extended: Application, client: AsyncClient
) -> None:
    async def answer_zero(*_: Any) -> Response:
        return Response("zero", 418)

    extended.add_exception_handler(ZeroDivisionError, answer_zero)
    answer = await client.post("/extras/rename-and-fail")

    assert (answer.status_code, answer.text) == (418, "zero")


@both_stacks
async def test_the_api_works_below_a_root_path(app: Application, user: User) -> None:
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        below = {"root_path": "/below", "path": f"/below{scope['path']}"}
        await app({**scope, **below}, receive, send)

    async with client_for(mounted) as client:
        assert_refused(await client.get("/users/me"), 401, "UNAUTHENTICATED")


# FastAPI's private parts. When one of these fails after an upgrade, read what changed
# and compare it with api/routing.py before the expectation is changed.


def test_fastapi_s_resolvers_take_what_we_give_them() -> None:
    assert list(inspect.signature(request_params_to_args).parameters) == [
        "fields",
        "received_params",
    ]
    assert list(inspect.signature(request_body_to_args).parameters) == [
        "body_fields",
        "received_body",
        "embed_body_fields",
    ]
    assert inspect.iscoroutinefunction(request_body_to_args)
    assert not inspect.iscoroutinefunction(request_params_to_args)


def test_fastapi_s_dependants_hold_nothing_that_a_plan_does_not_know() -> None:
    assert {field.name for field in fields(Dependant)} == DEPENDANT_FIELDS


def test_fastapi_s_routes_hold_what_a_plan_reads() -> None:
    app = APIRouter()
    app.add_api_route("/x/{y}", threaded)
    (route,) = iter_route_contexts(app.routes)

    assert isinstance(route.original_route, APIRoute)
    assert isinstance(route, RouteContext)
    for name in ROUTE_ATTRIBUTES:
        assert hasattr(route, name), name


def test_fastapi_s_routers_hold_what_the_table_walks() -> None:
    inner, outer = Router(form_limits={"max_fields": 1}), Router()
    inner.add_api_route("/x/{y}", threaded)
    version = outer._routes_version
    outer.include_router(inner)
    (included,) = outer.routes

    assert outer._routes_version > version
    assert isinstance(included, _IncludedRouter)
    assert included.original_router is inner
    assert included.include_context.form_limits == {"max_fields": 1}
    (context,) = included.effective_candidates()
    assert isinstance(context, _EffectiveRouteContext)
    assert context.original_route is inner.routes[0]
    assert context.max_body_size is None
    assert outer.middleware_stack == outer.app


def test_fastapi_tells_functions_apart_as_a_plan_does() -> None:
    dependant = Dependant(call=in_a_thread)

    assert _get_cache_key(dependant=dependant) == (in_a_thread, (), "")
    assert _is_coroutine_callable(plain)
    assert not _is_coroutine_callable(in_a_thread)
    assert not _is_gen_callable(plain)
    assert not _is_async_gen_callable(plain)


ROUTE_ATTRIBUTES = [
    "path_regex",
    "param_convertors",
    "max_body_size",
    "path",
    "path_format",
    "methods",
    "dependant",
    "body_field",
    "_embed_body_fields",
    "response_field",
    "response_model",
    "status_code",
    "stream_item_field",
    "response_model_exclude_unset",
    "response_model_exclude_none",
    "response_model_exclude_defaults",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_class",
]
DEPENDANT_FIELDS = {
    "background_tasks_param_name",
    "body_params",
    "call",
    "concurrency",
    "cookie_params",
    "dependencies",
    "header_params",
    "http_connection_param_name",
    "name",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "path",
    "path_params",
    "query_params",
    "request_param_name",
    "response_param_name",
    "scope",
    "security_scopes_param_name",
    "use_cache",
    "websocket_param_name",
}

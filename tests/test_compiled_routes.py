"""Compiled routes behave like FastAPI's, for generated applications and requests.

Each example is a table of routes with routers, dependencies and route classes, and some
requests. Both implementations must return the same status, body and headers, and must
run the same functions in the same order.
"""

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi import Path as PathParam
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Host, Match, Mount
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router as StarletteRouter

from bedplate.api.routing import Route, Router
from bedplate.config import Settings
from bedplate.core.errors import PermissionDenied
from bedplate.main import Application, create_app
from bedplate.schemas import ListParams, ResponseSchema

Calls = list[str]
Record = Callable[[dict[str, Any]], str]


# Dependencies: each records that it ran, and some raise


@dataclass(frozen=True)
class Dependency:
    """A function of the tree: its kind, its parameter and its dependencies."""

    kind: str
    reads: str
    needs: tuple[int, ...] = ()
    cached: bool = True
    scopes: tuple[str, ...] = ()
    scope: str | None = None


KINDS = [*["async"] * 6, *["yield"] * 4, "object", "object", "def", "def-yield"]
KINDS += ["refuse", "refuse-after-yield", "wrapped-yield"]
READS = {
    "nothing": None,
    "query": Annotated[int, Query(alias="q")],
    "other": Annotated[int, Query(alias="other", le=5)],
    "header": Annotated[int | None, Header(alias="X-Number")],
    "cookie": Annotated[str | None, Cookie(alias="flavor", max_length=3)],
    "path": Annotated[int, PathParam(alias="x")],
    "request": Request,
    "response": Response,
}


def returning_functions(record: Record) -> dict[str, Any]:
    """Return functions of each kind that return or raise."""

    async def run(**values: Any) -> str:
        return record(values)

    def in_thread(**values: Any) -> str:
        return record(values)

    async def refuse(**values: Any) -> None:
        record(values)
        raise PermissionDenied

    class Callme:
        async def __call__(self, **values: Any) -> str:
            return record(values)

    return {"async": run, "def": in_thread, "refuse": refuse, "object": Callme()}


def yielding_functions(record: Record, name: str, ran: Calls) -> dict[str, Any]:
    """Return functions of each kind that yield."""

    async def run(**values: Any) -> AsyncIterator[str]:
        record(values)
        try:
            yield name
        except Exception as error:
            ran.append(f"{name} saw {type(error).__name__}")
            raise
        finally:
            ran.append(f"{name} closed")

    def in_thread(**values: Any) -> Iterator[str]:
        yield record(values)
        ran.append(f"{name} closed")

    async def refuse(**values: Any) -> AsyncIterator[str]:
        yield record(values)
        raise HTTPException(418)

    def wrapped(**values: Any) -> Any:
        return run(**values)

    wrapped.__wrapped__ = run  # type: ignore[attr-defined]  # as `functools.wraps` does
    return {
        "yield": run,
        "def-yield": in_thread,
        "refuse-after-yield": refuse,
        "wrapped-yield": wrapped,
    }


def make_dependency(
    number: int, spec: Dependency, built: list[Any], ran: Calls
) -> Callable[..., Any]:
    """Return a function with the kind and the parameters of the spec."""
    name = f"d{number}"

    def record(values: dict[str, Any]) -> str:
        parameters = sorted(
            (k, v) for k, v in values.items() if isinstance(v, (int, str))
        )
        ran.append(f"{name}{parameters}")
        if isinstance(values.get("value"), Response):
            values["value"].headers[f"X-{name}"] = "set"
        return name

    call: Any = (returning_functions(record) | yielding_functions(record, name, ran))[
        spec.kind
    ]
    annotations = {"value": READS[spec.reads]} if spec.reads != "nothing" else {}
    annotations |= {f"s{i}": built[i] for i in spec.needs if i < len(built)}
    set_signature(call, annotations)
    return call  # type: ignore[no-any-return]


def set_signature(call: Any, annotations: dict[str, Any]) -> None:
    """Set the parameters that FastAPI sees in a function that accepts any."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, annotation=annotation)
        for name, annotation in annotations.items()
    ]
    signature = inspect.Signature(parameters)
    target: Any = call if inspect.isroutine(call) else type(call).__call__
    if target is call:
        call.__signature__ = signature
    else:
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        target.__signature__ = inspect.Signature([first, *parameters])


def depends_on(call: Any, spec: Dependency) -> Any:
    scope: Any = spec.scope
    if spec.kind in ("yield", "refuse-after-yield") and scope is None:
        scope = "function"
    if scope == "default" or "yield" not in spec.kind:
        scope = None
    if spec.scopes:
        return Security(call, scopes=spec.scopes, use_cache=spec.cached)
    return Depends(call, use_cache=spec.cached, scope=scope)


# Endpoints and routes


class Item(BaseModel):
    name: str = Field(max_length=3)
    spare: int | None = Field(None, alias="SPARE")


class Result(ResponseSchema, frozen=True):
    id: int
    text: str | None


class Filters(ListParams):
    sort: str = "a"
    kinds: list[str] | None = None


TAKES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "query": {"page": Annotated[int, Query()]},
    "several": {"page": Annotated[list[int], Query()]},
    "filters": {"filters": Annotated[Filters, Query()]},
    "header": {"x_mark": Annotated[str, Header()]},
    "body": {"item": Item},
    "embedded": {"item": Annotated[Item, Body(embed=True)]},
    "bodies": {"item": Item, "more": Annotated[int, Body()]},
    "form": {"name": Annotated[str, Form()], "age": Annotated[int, Form()]},
    "path": {"x": int},
    "absent path": {"z": Annotated[int, PathParam()]},
    "tasks": {"tasks": BackgroundTasks},
    "response": {"response": Response},
}
GIVES: dict[str, dict[str, Any]] = {
    "dict": {"response_model": dict[str, Any]},
    "undeclared": {"response_model": None},
    "struct": {"response_model": Result},
    "item": {"response_model": Item},
    "item without defaults": {
        "response_model": Item,
        "response_model_exclude_unset": True,
    },
    "text": {"response_class": PlainTextResponse},
    "nothing": {"status_code": 204},
    "accepted": {"status_code": 202, "response_model": dict[str, Any]},
    "no content by itself": {"response_model": Result},
    "response": {},
    "file": {},
    "misfit": {"response_model": Item},
    "raises": {"response_model": dict[str, Any]},
    "bug": {"response_model": dict[str, Any]},
}


def result_of(gives: str, values: dict[str, Any]) -> Any:
    draft = values.get("response")
    if draft is not None:
        draft.headers["X-Own"] = "1"
        draft.status_code = 204 if gives == "no content by itself" else 203
    if "tasks" in values:
        values["tasks"].add_task(lambda: None)
    plain = {k: v for k, v in values.items() if isinstance(v, (int, str, list))}
    if gives == "raises":
        raise HTTPException(409, "no", {"X-Reason": "r"})
    if gives == "bug":
        raise ZeroDivisionError
    make = RESULTS.get(gives)
    return plain if make is None else make()


RESULTS: dict[str, Callable[[], Any]] = {
    "struct": lambda: Result(1, "t"),
    "no content by itself": lambda: Result(1, "t"),
    "item": lambda: Item(name="n"),
    "item without defaults": lambda: Item(name="n"),
    "text": lambda: "text",
    "nothing": lambda: None,
    "response": lambda: Response(b"<p>", 203, media_type="text/html"),
    "file": lambda: FileResponse(Path("/does/not/exist")),
    "misfit": lambda: {"nope": 1},
}


class Guarded(Route):
    """Rejects requests without the right header, before anything else runs."""

    def get_route_handler(self) -> Any:
        handler = super().get_route_handler()

        async def guard(request: Request) -> Response:
            request.app.state.ran.append("guard")
            if request.headers.get("x-word") != "open":
                return Response("guarded", 403)
            return await handler(request)

        return guard


class Handling(Route):
    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        scope["app"].state.ran.append("handle")
        await super().handle(scope, receive, send)


class ByHeader(Route):
    """Matches only requests with a header."""

    def matches(self, scope: Any) -> Any:
        if (b"x-word", b"open") not in scope["headers"]:
            return Match.NONE, {}
        return super().matches(scope)


class Wrapping(Route):
    """Wraps its application, as instrumentations do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        inner = self.app

        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            scope["app"].state.ran.append("wrapped")
            await inner(scope, receive, send)

        self.app = wrapped


CLASSES: dict[str, type[APIRoute]] = {
    "ours": Route,
    "stock": APIRoute,
    "guarded": Guarded,
    "handling": Handling,
    "by header": ByHeader,
    "wrapping": Wrapping,
}


@dataclass(frozen=True)
class Endpoint:
    path: str
    methods: tuple[str, ...] = ("GET",)
    kind: str = "ours"
    takes: str = "nothing"
    gives: str = "dict"
    needs: tuple[int, ...] = ()
    guards: tuple[int, ...] = ()
    is_async: bool = True
    max_body_size: int | None = None


@dataclass(frozen=True)
class Foreign:
    """A route that isn't FastAPI's: a mount, a host, a plain Starlette route."""

    kind: str
    path: str


@dataclass(frozen=True)
class Group:
    """An included router, with its options."""

    members: "tuple[Endpoint | Foreign | Group, ...]"
    prefix: str = ""
    is_ours: bool = True
    guards: tuple[int, ...] = ()
    included_with: tuple[int, ...] = ()
    form_limit: int | None = None
    is_guarded: bool = False


@dataclass(frozen=True)
class Table:
    dependencies: tuple[Dependency, ...]
    members: tuple[Endpoint | Foreign | Group, ...]


class GuardedRouter(Router):
    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        scope["app"].state.ran.append("router")
        if (b"x-word", b"open") not in scope["headers"]:
            await Response("router", 403)(scope, receive, send)
            return
        await super().handle(scope, receive, send)


class Builder:
    """Adds a table's routes to an application."""

    def __init__(self, table: Table, ran: Calls) -> None:
        self._specs = table.dependencies
        self._ran = ran
        self._count = 0
        self._calls: list[Any] = []
        annotated: list[Any] = []
        for number, spec in enumerate(self._specs):
            call = make_dependency(number, spec, annotated, ran)
            self._calls.append(call)
            annotated.append(Annotated[Any, depends_on(call, spec)])
        self._annotated = annotated

    def add(self, router: Any, member: Any) -> None:
        match member:
            case Endpoint():
                self._add_endpoint(router, member)
            case Foreign():
                router.routes.append(self._foreign(member))
                router._mark_routes_changed()
            case Group():
                self._add_group(router, member)

    def _add_endpoint(self, router: Any, spec: Endpoint) -> None:
        self._count += 1
        name = f"e{self._count}"

        async def respond(**values: Any) -> Any:
            self._ran.append(name)
            return result_of(spec.gives, values)

        def respond_in_thread(**values: Any) -> Any:
            self._ran.append(name)
            return result_of(spec.gives, values)

        endpoint: Any = respond if spec.is_async else respond_in_thread
        annotations = {**TAKES[spec.takes], **self._needed(spec.needs)}
        set_signature(endpoint, annotations)
        if spec.gives in ("response", "file"):
            endpoint.__annotations__["return"] = Response
            sign = endpoint.__signature__
            endpoint.__signature__ = sign.replace(return_annotation=Response)
        router.add_api_route(
            spec.path,
            endpoint,
            methods=list(spec.methods),
            route_class_override=CLASSES[spec.kind],
            dependencies=self._guards(spec.guards),
            max_body_size=spec.max_body_size,
            name=name,
            **GIVES[spec.gives],
        )

    def _needed(self, numbers: tuple[int, ...]) -> dict[str, Any]:
        existing = [n for n in numbers if n < len(self._annotated)]
        return {f"d{n}": self._annotated[n] for n in existing}

    def _guards(self, numbers: tuple[int, ...]) -> list[Any]:
        existing = [n for n in numbers if n < len(self._calls)]
        specs = {n: replace(self._specs[n], scopes=()) for n in existing}
        return [depends_on(self._calls[n], specs[n]) for n in existing]

    def _foreign(self, spec: Foreign) -> Any:
        async def respond(request: Request) -> Response:
            self._ran.append(spec.kind)
            return PlainTextResponse(f"{spec.kind} {request.url.path}")

        match spec.kind:
            case "mount":
                inner = StarletteRouter([StarletteRoute("/{rest:path}", respond)])
                return Mount(spec.path, inner)
            case "host":
                inner = StarletteRouter([StarletteRoute("/{rest:path}", respond)])
                return Host("elsewhere", inner)
            case _:
                return StarletteRoute(spec.path, respond)

    def _add_group(self, router: Any, group: Group) -> None:
        options: dict[str, Any] = {"dependencies": self._guards(group.guards)}
        if group.form_limit is not None:
            options["form_limits"] = {"max_fields": group.form_limit}
        inner: APIRouter
        if group.is_guarded:
            inner = GuardedRouter(**options)
        else:
            inner = (Router if group.is_ours else APIRouter)(**options)
        for member in group.members:
            self.add(inner, member)
        included_with = self._guards(group.included_with)
        router.include_router(inner, prefix=group.prefix, dependencies=included_with)


# Generated tables, of few words, so that paths overlap

SEGMENTS = ["a", "b", "{x}", "{y}"] * 3
SEGMENTS += ["{n:int}", "{p:path}", "{x}-{y}", "{u:uuid}", "{1}"]


def _is_valid(segments: list[str]) -> bool:
    names = re.findall(r"\{(\w+)", "/".join(segments))
    return len(set(names)) == len(names)


paths = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end,
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).filter(_is_valid),
    st.sampled_from(["", "", "", "/"]),
)
indexes = st.lists(st.integers(0, 4), max_size=2, unique=True).map(tuple)
dependencies = st.lists(
    st.builds(
        Dependency,
        kind=st.sampled_from(KINDS),
        reads=st.sampled_from(["nothing"] * 3 + sorted(READS)),
        needs=indexes,
        cached=st.sampled_from([*[True] * 9, False]),
        scopes=st.sampled_from([(), (), (), ("read",), ("write",)]),
        scope=st.sampled_from([None, None, None, "default"]),
    ),
    max_size=5,
).map(tuple)
endpoints = st.builds(
    Endpoint,
    path=paths,
    methods=st.lists(
        st.sampled_from(["GET", "GET", "POST", "DELETE"]), min_size=1, max_size=2
    ).map(tuple),
    kind=st.sampled_from(["ours"] * 40 + sorted(CLASSES)),
    takes=st.sampled_from(["nothing"] * 6 + sorted(TAKES)),
    gives=st.sampled_from(["dict", "struct", "item"] * 5 + sorted(GIVES)),
    needs=indexes,
    guards=indexes,
    is_async=st.sampled_from([*[True] * 9, False]),
    max_body_size=st.sampled_from([*[None] * 9, 5]),
)
foreign = st.builds(
    Foreign,
    kind=st.sampled_from(["mount", "mount", "plain", "plain", "host"]),
    path=st.sampled_from(["/a", "/b/a", "/{x}", "/a/{p:path}"]),
)
groups = st.recursive(
    st.integers(0, 9).flatmap(lambda n: foreign if n == 7 else endpoints),
    lambda inner: st.builds(
        Group,
        members=st.lists(inner, min_size=1, max_size=4).map(tuple),
        prefix=st.sampled_from(["/a", "/b", "/{y}"]),
        is_ours=st.booleans(),
        guards=indexes,
        included_with=indexes,
        form_limit=st.sampled_from([*[None] * 5, 1]),
        is_guarded=st.sampled_from([*[False] * 9, True]),
    ),
    max_leaves=8,
)


def _names_are_unique(member: Any, prefix: str = "") -> bool:
    """Return whether each path has unique parameter names, as FastAPI requires."""
    if isinstance(member, Group):
        return all(_names_are_unique(m, prefix + member.prefix) for m in member.members)
    return _is_valid((prefix + member.path).split("/"))


tables = st.builds(
    Table,
    dependencies=dependencies,
    members=st.lists(groups.filter(_names_are_unique), min_size=1, max_size=5).map(
        tuple
    ),
)


@dataclass(frozen=True)
class SampleRequest:
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


UUID_TEXT = "01999999-9999-7999-8999-999999999999"
WORDS = ["a", "b", "c", "7", "-1", "x-y", UUID_TEXT, "%2Fz", "a%0A", "%C3%A9", "{1}"]
BODIES: list[tuple[str | None, bytes]] = [
    (None, b""),
    ("application/json", b'{"name": "n"}'),
    ("application/json", b'{"name": "long", "SPARE": "x"}'),
    ("application/json", b'{"item": {"name": "n"}, "more": 1}'),
    ("application/json", b"[1"),
    ("application/json", b"null"),
    ("application/vnd.x+json; charset=utf-8", b'{"name": "n"}'),
    ("application/x-www-form-urlencoded", b"name=n&age=1"),
    ("application/x-www-form-urlencoded", b"name=n&age=x&age=y"),
    ("text/plain", b"n"),
]
GOOD_QUERY = "q=1&other=2&page=1"
QUERIES = [*[GOOD_QUERY] * 6, "", "q=1", "q=x&other=9", "page=x&page=2", "q=1&q=x"]
QUERIES += ["sort=b&kinds=a&kinds=b", "nope=1&q=2", "limit=0"]
HEADERS = [("x-number", "1"), ("x-number", "x"), ("x-mark", "m"), ("x-word", "open")]
HEADERS += [("cookie", "flavor=abcd"), ("cookie", "flavor=abc"), ("host", "elsewhere")]
METHODS = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"]


def targets(member: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the methods and paths of a table, so that most requests match one."""
    if isinstance(member, Group):
        for inner in member.members:
            yield from targets(inner, prefix + member.prefix)
    elif isinstance(member, Foreign):
        yield "GET", prefix + member.path + ("/c" if member.kind == "mount" else "")
    else:
        yield from ((method, prefix + member.path) for method in member.methods)


def draw_request(draw: Callable[[Any], Any], table: Table) -> SampleRequest:
    reachable = [target for member in table.members for target in targets(member)]
    method, template = draw(st.sampled_from(reachable))
    if draw(st.integers(0, 9)) == 7:
        odd = st.lists(st.sampled_from([*WORDS, ""]), min_size=1, max_size=4)
        template = "/" + "/".join(draw(odd))
    if draw(st.integers(0, 4)) == 3:
        method = draw(st.sampled_from(METHODS))
    words = st.sampled_from(["7"] * 20 + WORDS)
    template = template.replace("{u:uuid}", UUID_TEXT)
    path = re.sub(r"\{[a-z][^}]*\}", lambda _: draw(words), template)
    headers = dict(draw(st.lists(st.sampled_from(HEADERS), max_size=3)))
    media_type, body = draw(st.sampled_from(BODIES))
    if media_type:
        headers["content-type"] = media_type
    query = draw(st.sampled_from(QUERIES))
    return SampleRequest(method, path, query, tuple(headers.items()), body)


# Both implementations


def build(table: Table, settings: Settings, *, compiled: bool) -> Application:
    app = create_app(settings.model_copy(update={"compiled_routes": compiled}), [])
    app.state.ran = []
    builder = Builder(table, app.state.ran)
    for member in table.members:
        builder.add(app.router, member)
    return app


async def send(app: Application, request: SampleRequest) -> Any:
    """Return status, body and headers of the response, and the functions that ran."""
    app.state.ran.clear()
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        url = f"{request.path}?{request.query}" if request.query else request.path
        response = await client.request(
            request.method, url, headers=dict(request.headers), content=request.body
        )
    body = response.text.replace(response.headers["x-request-id"], "…")
    headers = sorted(
        (name, value)
        for name, value in response.headers.multi_items()
        if name != "x-request-id"
        # FastAPI adds a type to an empty 204.
        and (response.content or name != "content-type")
    )
    return response.status_code, body, headers, list(app.state.ran)


async def compare(
    table: Table, settings: Settings, requests: list[SampleRequest]
) -> None:
    try:
        stock = build(table, settings, compiled=False)
    except Exception as error:  # noqa: BLE001, FastAPI can raise anything
        with pytest.raises(type(error)):
            build(table, settings, compiled=True)
        return
    compiled = build(table, settings, compiled=True)
    for each in requests:
        expected = await send(stock, each)
        actual = await send(compiled, each)
        assert actual == expected, each


ONCE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@st.composite
def tables_with_requests(draw: st.DrawFn) -> tuple[Table, list[SampleRequest]]:
    declared = draw(tables)
    return declared, [draw_request(draw, declared) for _ in range(12)]


@ONCE
@examples(max_examples=80)
@given(drawn=tables_with_requests())
async def test_compiled_routes_behave_like_fastapi(
    settings: Settings, drawn: tuple[Table, list[SampleRequest]]
) -> None:
    declared, requests = drawn

    await compare(declared, settings, requests)


# Cases that once differed


def table(*members: Any, dependencies: tuple[Dependency, ...] = ()) -> Table:
    return Table(dependencies, members)


NEEDS_ANOTHER = (Dependency("async", "query"), Dependency("async", "nothing", (0,)))
TWICE = (*NEEDS_ANOTHER, Dependency("async", "nothing", (0, 1)))
SCOPED = (Dependency("async", "nothing", scopes=("read",)),)
GET_A = SampleRequest("GET", "/a")
POST_FORM = SampleRequest(
    "POST",
    "/a/a",
    headers=(("content-type", "application/x-www-form-urlencoded"),),
    body=b"name=n&age=1",
)
CASES: dict[str, tuple[Table, list[SampleRequest]]] = {
    "the guard of a subclass runs": (
        table(Endpoint("/a", kind="guarded")),
        [GET_A, SampleRequest("GET", "/a", headers=(("x-word", "open"),))],
    ),
    "handle of a subclass runs": (table(Endpoint("/a", kind="handling")), [GET_A]),
    "matches of a subclass runs": (
        table(Endpoint("/a", kind="by header"), Endpoint("/a")),
        [GET_A, SampleRequest("GET", "/a", headers=(("x-word", "open"),))],
    ),
    "a wrapped application stays wrapped": (
        table(Endpoint("/a", kind="wrapping")),
        [GET_A],
    ),
    "the guard of a router runs": (
        table(Group((Endpoint("/a"),), is_guarded=True, prefix="/b")),
        [SampleRequest("GET", "/b/a")],
    ),
    "a function with a failed dependency isn't called": (
        table(Endpoint("/a", needs=(1,)), dependencies=NEEDS_ANOTHER),
        [SampleRequest("GET", "/a", "q=x"), SampleRequest("GET", "/a", "q=1")],
    ),
    "errors are listed once for each dependent": (
        table(Endpoint("/a", needs=(2, 0), takes="query"), dependencies=TWICE),
        [SampleRequest("GET", "/a", "q=x&page=y")],
    ),
    "a dependency is called once for each of its scopes": (
        table(
            Endpoint("/a", needs=(0,), guards=(0,)),
            dependencies=SCOPED,
        ),
        [GET_A],
    ),
    "the first of two declared wins: parameter, static": (
        table(Endpoint("/{x}", gives="item"), Endpoint("/a")),
        [GET_A],
    ),
    "the first of two declared wins: static, parameter": (
        table(Endpoint("/a"), Endpoint("/{x}", gives="item")),
        [GET_A, SampleRequest("GET", "/b")],
    ),
    "the first of two declared wins: other names": (
        table(Endpoint("/{x}/a", takes="path"), Endpoint("/{y}/a", methods=("POST",))),
        [SampleRequest(m, "/7/a") for m in ("GET", "POST", "PUT")],
    ),
    "the first of two declared wins: crossed": (
        table(Endpoint("/a/{x}"), Endpoint("/{x}/b", gives="item")),
        [SampleRequest("GET", "/a/b"), SampleRequest("GET", "/b/b")],
    ),
    "a converter before": (
        table(
            Endpoint("/{n:int}", gives="item"),
            Endpoint("/{x}"),
            Endpoint("/{p:path}", gives="struct"),
            Endpoint("/b/a"),
        ),
        [SampleRequest("GET", f"/{path}") for path in ("7", "a", "b/a", "a/b/a", "")],
    ),
    "a converter of another method before": (
        table(Endpoint("/{p:path}", methods=("POST",)), Endpoint("/a")),
        [GET_A, SampleRequest("POST", "/a"), SampleRequest("DELETE", "/a")],
    ),
    "a mount before": (
        table(Foreign("mount", "/a"), Endpoint("/a/b"), Endpoint("/a")),
        [GET_A, SampleRequest("GET", "/a/b"), SampleRequest("DELETE", "/a/b")],
    ),
    "a host before": (
        table(Foreign("host", ""), Endpoint("/a")),
        [GET_A, SampleRequest("GET", "/a", headers=(("host", "elsewhere"),))],
    ),
    "a plain route before": (
        table(Foreign("plain", "/{x}"), Endpoint("/a")),
        [GET_A, SampleRequest("POST", "/a")],
    ),
    "a parameter in a part of a segment before": (
        table(Endpoint("/{x}-{y}", gives="item"), Endpoint("/{x}")),
        [SampleRequest("GET", "/x-y"), GET_A],
    ),
    "a segment that only looks like a parameter": (
        table(Endpoint("/{1}"), Endpoint("/a")),
        [GET_A, SampleRequest("GET", "/{1}")],
    ),
    "an empty parameter": (
        table(Endpoint("/{}"), Endpoint("/{x}", gives="item")),
        [GET_A, SampleRequest("GET", "/{}")],
    ),
    "a newline at the end": (
        table(Endpoint("/a"), Endpoint("/{x}", gives="item")),
        [SampleRequest("GET", "/a%0A"), SampleRequest("GET", "/b%0A")],
    ),
    "a path parameter that the path lacks": (
        table(Endpoint("/a", takes="absent path")),
        [GET_A],
    ),
    "a limit of a route's body": (
        table(Endpoint("/a", ("POST",), takes="body", max_body_size=5)),
        [
            SampleRequest(
                "POST", "/a", headers=(("content-type", "application/json"),), body=b
            )
            for b in (b'{"name": "n"}', b"{}")
        ],
    ),
    "a limit of a router's forms": (
        table(
            Group((Endpoint("/a", ("POST",), takes="form"),), "/a", form_limit=1),
        ),
        [POST_FORM],
    ),
    "a filter that takes several values": (
        table(Endpoint("/a", takes="filters")),
        [
            SampleRequest("GET", "/a", "kinds=a&kinds=b"),
            SampleRequest("GET", "/a", "limit=0&x=1"),
        ],
    ),
    "no content by the injected response": (
        table(Endpoint("/a", takes="response", gives="no content by itself")),
        [GET_A],
    ),
    "a file that is missing": (table(Endpoint("/a", gives="file")), [GET_A]),
    "a decorated generator": (
        table(
            Endpoint("/a", needs=(0,)),
            dependencies=(Dependency("wrapped-yield", "nothing"),),
        ),
        [GET_A],
    ),
    "a bug under a limit": (
        table(Endpoint("/a", kind="handling", gives="bug", max_body_size=5)),
        [SampleRequest("GET", "/a", body=b"longer")],
    ),
}


@ONCE
@pytest.mark.parametrize("case", CASES)
async def test_compiled_routes_behave_the_same_in_known_cases(
    settings: Settings, case: str
) -> None:
    declared, requests = CASES[case]

    await compare(declared, settings, requests)

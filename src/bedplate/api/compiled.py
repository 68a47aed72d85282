"""The fast path: finds and runs a route's endpoint without FastAPI's own handler.

FastAPI walks its routes one by one and each route's dependency tree anew on every
request. Here the routes are found in a table by method and path, and a route's tree is
flattened at start into a `CompiledRoute`. FastAPI runs everything that this file does
not know: a route whose tree has a `def` dependency, security scopes, background tasks
or files; a path that an earlier route might answer; and every route while
`app.dependency_overrides` is used. Both ways give the same answers:
`tests/api/test_compiled_routes.py` compares them over generated applications.

This is the only file that reads FastAPI's private parts. Without it, and with
`compiled_routes` off, an application still works.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.dependencies.models import (
    Dependant,
    _get_cache_key,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import (
    request_body_to_args,
    request_params_to_args,
)
from fastapi.exceptions import (
    FastAPIError,
    RequestValidationError,
)
from fastapi.routing import (
    APIRoute,
    APIWebSocketRoute,
    RouteContext,
    _EffectiveRouteContext,
    _IncludedRouter,
)
from pydantic import ValidationError
from pydantic_core import PydanticUndefined
from starlette import routing as starlette
from starlette._utils import is_async_callable
from starlette.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.api.routing import (
    JSONRequest,
    Route,
    accepted_media_type,
    answers_plain_json,
    check_media_type,
)
from bedplate.core import bodies
from bedplate.schemas import ListParams

ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class _RequestState(NamedTuple):
    """One request on its way through a plan; dependencies are known by their place."""

    request: Request
    draft: Response | None
    stack: AsyncExitStack | None
    results: list[Any]
    failures: dict[int, list[Any]]
    """What is wrong with the input of a dependency, which then isn't called."""


class _Dependency:
    """One function of a route's tree, with how each of its arguments comes about."""

    def __init__(
        self, dependant: Dependant, places: Mapping[Any, int], path_names: set[str]
    ) -> None:
        self.call: Any = dependant.call
        self.opens: Callable[..., AbstractAsyncContextManager[Any]] | None = None
        if _is_async_gen_callable(self.call):
            generator: Any = self.call
            self.opens = asynccontextmanager(generator)
        self._readers = list(_readers(dependant, path_names))
        subs = [(d.name, places[_key(d)]) for d in dependant.dependencies]
        self._needs = [place for _, place in subs]
        self._links = [(name, place) for name, place in subs if name]
        self._request_name = dependant.request_param_name
        self._response_name = dependant.response_param_name

    def arguments(self, run: _RequestState) -> tuple[dict[str, Any], list[Any]]:
        """What to call it with, and what is wrong with it: then it isn't called.

        As in FastAPI, errors of a dependency that two others need stand there twice.
        """
        errors: list[Any] = []
        if run.failures:
            for place in self._needs:
                errors += run.failures.get(place, ())
        values = {name: run.results[place] for name, place in self._links}
        for read in self._readers:
            values |= read(run.request, errors)
        if self._request_name:
            values[self._request_name] = run.request
        if self._response_name:
            values[self._response_name] = run.draft
        return values, errors

    async def take(self, place: int, run: _RequestState) -> None:
        """Call it and keep its value, or keep what is wrong with its input."""
        values, errors = self.arguments(run)
        if errors:
            run.failures[place] = errors
        elif self.opens is not None and run.stack is not None:
            opened = self.opens(**values)
            run.results[place] = await run.stack.enter_async_context(opened)
        else:
            run.results[place] = await self.call(**values)


def _key(dependant: Dependant) -> Any:
    """What FastAPI keeps a dependency's value under, for who else asks for it."""
    return _get_cache_key(dependant=dependant)


Reader = Callable[[Request, list[Any]], dict[str, Any]]


def _readers(dependant: Dependant, path_names: set[str]) -> Iterator[Reader]:
    """How to read a function's own parameters from a request."""
    for fields, source in (
        (dependant.path_params, "path_params"),
        (dependant.query_params, "query_params"),
        (dependant.header_params, "headers"),
        (dependant.cookie_params, "cookies"),
    ):
        if not fields:
            continue
        plain = all(_has_plain_name(f) and f.name in path_names for f in fields)
        if source == "path_params" and plain:
            yield _path_reader(fields)
        elif source == "query_params" and _list_params(fields) is not None:
            yield _list_reader(fields[0], _list_params(fields))
        else:
            yield _reader(fields, source)


def _reader(fields: list[ModelField], source: str) -> Reader:
    """FastAPI's own way, for anything."""

    def read(request: Request, errors: list[Any]) -> dict[str, Any]:
        values, wrong = request_params_to_args(fields, getattr(request, source))
        errors += wrong
        return values

    return read


def _has_plain_name(field: ModelField) -> bool:
    return field.alias == field.name and field.field_info.validation_alias is None


def _path_reader(fields: list[ModelField]) -> Reader:
    """Path parameters are always there and always text, which saves 30 µs."""

    def read(request: Request, errors: list[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field in fields:
            text = request.path_params[field.name]
            loc = ("path", field.name)
            values[field.name], wrong = field.validate(text, values, loc=loc)
            errors += wrong
        return values

    return read


def _list_params(fields: list[ModelField]) -> Any:
    """The list's parameters, if they are all that is read from the query."""
    annotation: Any = fields[0].field_info.annotation
    is_list = inspect.isclass(annotation) and issubclass(annotation, ListParams)
    if len(fields) > 1 or not is_list:
        return None
    kinds = [field.annotation for field in annotation.model_fields.values()]
    several = any(field_annotation_is_sequence(kind) for kind in kinds)
    return None if several else annotation  # of a name that is sent twice, all count


def _list_reader(field: ModelField, model: type[ListParams]) -> Reader:
    """A list's parameters are plain names and text, which saves 100 µs.

    Of a name that is sent twice the last value counts, as it does in FastAPI.
    """

    def read(request: Request, errors: list[Any]) -> dict[str, Any]:
        query = request.scope["query_string"].decode("latin-1")
        try:
            sent = dict(parse_qsl(query, keep_blank_values=True))
            return {field.name: model.model_validate(sent)}
        except ValidationError as error:
            errors += [
                {**wrong, "loc": ("query", *wrong["loc"])}
                for wrong in error.errors(include_url=False)
            ]
            return {}

    return read


class CompiledRoute:
    """A route's dependency tree as a flat list of calls, made once at start."""

    def __init__(self, route: Any, steps: Mapping[Any, Dependant]) -> None:
        places = {key: place for place, key in enumerate(steps)}
        names = set(route.param_convertors)
        self._steps = [_Dependency(step, places, names) for step in steps.values()]
        self._endpoint = _Dependency(route.dependant, places, names)
        self._body_params = route.dependant.body_params
        self._body_field = route.body_field
        self._is_form = _is_form(route.body_field)
        self._embed = route._embed_body_fields  # noqa: SLF001, tests/test_routing.py
        is_whole = len(self._body_params) == 1 and not (self._embed or self._is_form)
        self._whole_body = self._body_params[0] if is_whole else None
        self._accepted = accepted_media_type(route)
        self._route: Route = route.original_route
        self._opens = any(step.opens for step in self._steps)
        everything = (route.dependant, *steps.values())
        self._sets_headers = any(d.response_param_name for d in everything)

    @classmethod
    def of(cls, route: Any) -> CompiledRoute | None:
        """The plan of a route, or None when FastAPI must run it."""
        original = route.original_route
        if not isinstance(original, Route) or not original.is_untouched:
            return None
        steps: dict[Any, Dependant] = {}
        if not _flatten(route.dependant, steps) or not _is_plain(route):
            return None
        return cls(route, steps)

    async def __call__(self, request: Request) -> Response:
        if not self._opens:
            return await self._run(request, None)
        # Closed, and so committed, before the response leaves.
        async with AsyncExitStack() as stack:
            return await self._run(request, stack)
        raise AssertionError("a dependency swallowed an exception")

    async def _run(self, request: Request, stack: AsyncExitStack | None) -> Response:
        check_media_type(request, self._accepted)
        body = await self._read_body(request)
        draft = _draft_response() if self._sets_headers else None
        run = _RequestState(request, draft, stack, [None] * len(self._steps), {})
        for place, step in enumerate(self._steps):
            await step.take(place, run)
        values, errors = self._endpoint.arguments(run)
        if self._body_params:
            values |= await self._body_values(body, errors)
        if errors:
            sent = None if body is PydanticUndefined else body
            raise RequestValidationError(errors, body=sent)
        answer = await self._endpoint.call(**values)
        return self._route.respond(request, answer, draft)

    async def _read_body(self, request: Request) -> Any:
        if self._body_field is None:
            return PydanticUndefined
        if self._is_form:
            bodies.check_form_size(await request.body())
            return await request.form()
        return await request.json() if await request.body() else PydanticUndefined

    async def _body_values(self, body: Any, errors: list[Any]) -> dict[str, Any]:
        whole = self._whole_body
        if whole is not None and body is not PydanticUndefined:
            value, found = whole.validate(body, {}, loc=("body",))
            errors += found
            return {whole.name: value}
        values, found = await request_body_to_args(
            body_fields=self._body_params,
            received_body=body,
            embed_body_fields=self._embed,
        )
        errors += found
        return values


def _draft_response() -> Response:
    """What an endpoint's `response: Response` collects headers and a status in."""
    draft = Response(status_code=HTTPStatus.NO_CONTENT)  # so it has no content-length
    draft.status_code = None  # type: ignore[assignment]  # as FastAPI does: not set yet
    return draft


def _is_form(body_field: Any) -> bool:
    return body_field is not None and isinstance(body_field.field_info, params.Form)


def _is_plain(route: Any) -> bool:
    """Whether the endpoint itself holds nothing that only FastAPI knows."""
    return (
        _is_coroutine(route.dependant.call)
        and _is_known(route.dependant)
        and route.stream_item_field is None
        and route.max_body_size is None
        and not route.original_route.form_limits
        and answers_plain_json(route)
        and not isinstance(getattr(route.body_field, "field_info", None), params.File)
    )


def _flatten(dependant: Dependant, steps: dict[Any, Dependant]) -> bool:
    """Each dependency once, after those it needs; False when one is unknown to us."""
    for sub in dependant.dependencies:
        if not _is_runnable(sub) or not _flatten(sub, steps):
            return False
        steps.setdefault(_key(sub), sub)
    return True


def _is_runnable(dependant: Dependant) -> bool:
    call = dependant.call
    if _is_async_gen_callable(call) and not _is_gen_callable(call):
        is_async = dependant.scope == "function"
    else:
        is_async = _is_coroutine(call)
    return (
        is_async
        and _is_known(dependant)
        and not dependant.body_params
        and dependant.concurrency is None
        and dependant.use_cache
    )


def _is_coroutine(call: Any) -> bool:
    """Whether FastAPI awaits it: a generator under a decorator is none."""
    is_generator = _is_gen_callable(call) or _is_async_gen_callable(call)
    return _is_coroutine_callable(call) and not is_generator


def _is_known(dependant: Dependant) -> bool:
    return not (
        dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.websocket_param_name
        or dependant.http_connection_param_name
    )


class _Match(NamedTuple):
    """A route that was found, with the values of its path's parameters."""

    template: str
    route: APIRoute
    plan: CompiledRoute
    path_params: dict[str, str]


class _Entry(NamedTuple):
    """A route in the place where FastAPI tries it."""

    place: int
    route: Any
    path: str
    methods: frozenset[str]  # empty: any
    regex: re.Pattern[str] | None  # None: only FastAPI knows what it matches
    names: tuple[tuple[int, str], ...] = ()
    plan: CompiledRoute | None = None
    is_looked_up: bool = False
    before: tuple[_Entry, ...] = ()
    """Those that are tried earlier, aren't in the table, and might match too."""

    def answers(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def might_answer(self, method: str, path: str) -> bool:
        if self.regex is None:
            return True
        return self.answers(method) and self.regex.match(path) is not None

    def might_meet(self, path: str) -> bool:
        """Whether some request could match both this and a path's template."""
        mine, other = self.path.partition("{")[0], path.partition("{")[0]
        is_apart = not mine.startswith(other) and not other.startswith(mine)
        return self.regex is None or not is_apart


_ByPlaces = dict[tuple[int, ...], dict[str, list[_Entry]]]
"""Routes of one length, by where their parameters are and by shape."""


class RouteTable:
    """Every route of an application, by path and method, in FastAPI's order.

    A path with parameters is looked up by its shape: `/users/{}` for
    `/users/0199…`, with the parameters' places taken from the routes of that length.
    Of several that match, the one that was declared first counts. Routes of another
    kind (mounts, hosts, converters, parameters in a part of a segment) are not looked
    up: where such a route might match first, nothing is found.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._build()

    def _build(self) -> None:
        router = self._app.router
        self._routes = list(router.routes)
        self._versions = list(_versions(router))
        self._entries: list[_Entry] = []
        self._lengths: dict[int, _ByPlaces] = {}
        is_plain = _is_plain_router(router) and router.middleware_stack == router.app
        for found in _walk(
            router.routes, _RouterContext(is_plain, bool(router.form_limits))
        ):
            self._add(*found)

    def _is_current(self) -> bool:
        """Whether no route was added or removed since the table was made."""
        for router, version in self._versions:
            if router._routes_version != version:  # noqa: SLF001, FastAPI's own check
                return False
        return self._app.router.routes == self._routes

    def _add(self, route: RouteContext, around: _RouterContext) -> None:
        matches = type(route.original_route).matches
        if matches in _FOR_WEBSOCKETS:
            return
        is_known = around.is_plain and matches in _BY_REGEX
        is_known = is_known and "matches" not in vars(route.original_route)
        entry = _Entry(
            place=len(self._entries),
            route=route,
            path=route.path or "",
            methods=frozenset(route.methods or ()),
            regex=route.path_regex if is_known else None,
        )
        if is_known and matches is APIRoute.matches and _has_shape(route):
            entry = self._look_up(entry, around)
        self._entries.append(entry)

    def _look_up(self, entry: _Entry, around: _RouterContext) -> _Entry:
        """Put an entry where its path finds it."""
        route, path = entry.route, entry.route.path_format
        segments = path.split("/")
        names = [(i, s[1:-1]) for i, s in enumerate(segments) if _is_parameter(s)]
        places = tuple(i for i, _ in names)
        left_alone = around.limits_forms and _is_form(route.body_field)
        entry = entry._replace(
            path=path,
            names=tuple(names),
            plan=None if left_alone else CompiledRoute.of(route),
            before=tuple(
                e for e in self._entries if not e.is_looked_up and e.might_meet(path)
            ),
            is_looked_up=True,
        )
        shapes = self._lengths.setdefault(len(segments), {}).setdefault(places, {})
        shapes.setdefault(_shape(segments, places), []).append(entry)
        return entry

    def find(self, method: str, path: str) -> _Match | None:
        """The route that answers, if its plan is known here."""
        if not self._is_current():
            self._build()
        segments = path.split("/")
        entry = self._first(method, segments)
        if entry is None or entry.plan is None:
            return None
        if entry.before and any(e.might_answer(method, path) for e in entry.before):
            return None
        if path.endswith("\n"):
            return None  # which `$` lets pass in Starlette's patterns
        values = {name: segments[i] for i, name in entry.names}
        return _Match(entry.path, entry.route.original_route, entry.plan, values)

    def _first(self, method: str, segments: list[str]) -> _Entry | None:
        first: _Entry | None = None
        for places, shapes in self._lengths.get(len(segments), {}).items():
            for entry in shapes.get(_shape(segments, places), ()):
                if first is not None and first.place < entry.place:
                    break
                if entry.answers(method) and all(segments[i] for i in places):
                    first = entry
                    break
        return first

    def methods(self, path: str) -> set[str]:
        """Every method that some route answers at this path."""
        return {
            method
            for entry in self._entries
            if entry.regex is not None and entry.regex.match(path)
            for method in entry.methods
        }


_FOR_WEBSOCKETS = {starlette.WebSocketRoute.matches, APIWebSocketRoute.matches}
_BY_REGEX = {APIRoute.matches, starlette.Route.matches, starlette.Mount.matches}


class _RouterContext(NamedTuple):
    """What the routers around a route do to it."""

    is_plain: bool
    """None of them overrides how a request is matched or handled."""
    limits_forms: bool


def _versions(router: APIRouter) -> Iterator[tuple[APIRouter, int]]:
    """Every router of an application, with the number of its changes."""
    yield router, router._routes_version  # noqa: SLF001, FastAPI's own check
    for route in router.routes:
        if isinstance(route, _IncludedRouter):
            yield from _versions(route.original_router)


def _walk(
    routes: Iterable[Any], around: _RouterContext
) -> Iterator[tuple[Any, _RouterContext]]:
    """Every route in the order in which FastAPI tries it, included ones as included."""
    for route in routes:
        if isinstance(route, _IncludedRouter):
            inner = _RouterContext(
                around.is_plain and _is_plain_router(route.original_router),
                around.limits_forms or bool(route.include_context.form_limits),
            )
            try:
                candidates = route.effective_candidates()
            except FastAPIError:  # which FastAPI raises again when a request gets here
                yield (
                    RouteContext(route),
                    _RouterContext(is_plain=False, limits_forms=True),
                )
            else:
                yield from _walk(candidates, inner)
        elif isinstance(route, _EffectiveRouteContext):
            yield RouteContext(route.original_route, route), around
        else:
            yield RouteContext(route), around


def _is_plain_router(router: APIRouter) -> bool:
    return not any(
        name in vars(router)
        or getattr(type(router), name) is not getattr(APIRouter, name)
        for name in ("__call__", "app", "handle", "matches")
    )


def _has_shape(route: Any) -> bool:
    """Whether its parameters are whole segments, of any text."""
    converters = route.param_convertors.values()
    parameters = [s for s in route.path_format.split("/") if _is_parameter(s)]
    return len(parameters) == len(converters) and all(
        type(converter) is StringConvertor for converter in converters
    )


_PARAMETER = re.compile(r"\{[a-zA-Z_][a-zA-Z0-9_]*\}")


def _is_parameter(segment: str) -> bool:
    return _PARAMETER.fullmatch(segment) is not None


def _shape(segments: list[str], places: tuple[int, ...]) -> str:
    if not places:
        return "/".join(segments)
    shape = segments.copy()
    for place in places:
        shape[place] = "{}"
    return "/".join(shape)


class CompiledRouter:
    """ASGI: runs the plan of the route that the table finds; the rest is FastAPI's."""

    def __init__(self, app: FastAPI, table: RouteTable, fallback: ASGIApp) -> None:
        self._app = app
        self._table = table
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        found = None
        if self._is_ours(scope):
            found = self._table.find(scope["method"], scope["path"])
        if found is None:
            await self._send(self._fallback, Request(scope, receive, send), send)
            return
        given = scope.get("path_params")  # by what this application is mounted on
        scope["path_params"] = given | found.path_params if given else found.path_params
        scope["router"] = self._app.router
        scope["route"] = found.route
        scope["endpoint"] = found.route.endpoint
        scope["template"] = found.template
        await self._answer(found.plan, scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        return not scope.get("root_path") and not self._app.dependency_overrides

    async def _answer(
        self, plan: CompiledRoute, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = JSONRequest(scope, receive)
        try:
            response = await plan(request)
        except Exception as error:
            handler = find_handler(self._app, error)
            if handler is None:
                raise
            response = await _handled(handler, request, error)
        if type(response) in _SENT_AT_ONCE:
            await response(scope, receive, send)
        else:
            await self._send(response, request, send)

    async def _send(self, response: ASGIApp, request: Request, send: Send) -> None:
        """Send what may fail before it starts: FastAPI's answer, or a missing file."""
        is_started = False

        async def noted(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await response(request.scope, request.receive, noted)
        except Exception as error:
            handler = find_handler(self._app, error)
            if handler is None or is_started:
                raise
            refusal = await _handled(handler, request, error)
            await refusal(request.scope, request.receive, send)


async def _handled(handler: Any, request: Request, error: Exception) -> Response:
    if is_async_callable(handler):
        response: Response = await handler(request, error)
        return response
    return cast("Response", await run_in_threadpool(handler, request, error))


_SENT_AT_ONCE = {Response, JSONResponse}


def find_handler(app: FastAPI, error: Exception) -> ErrorHandler | None:
    """The handler registered for an error: by its status, or its nearest class.

    A bug's is that of 500 or of `Exception`, whichever was registered last.
    """
    handlers: dict[Any, Any] = app.exception_handlers
    bugs = (HTTPStatus.INTERNAL_SERVER_ERROR, Exception)
    status = error.status_code if isinstance(error, HTTPException) else None
    keys = [key for key in (status, *type(error).__mro__) if key not in bugs]
    keys += [key for key in reversed(handlers) if key in bugs]
    found = (handlers[key] for key in keys if key in handlers)
    return cast("ErrorHandler | None", next(found, None))

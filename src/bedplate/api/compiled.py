"""The fast path: finds and runs a route's endpoint without FastAPI's own handler.

FastAPI walks its routes one by one and each route's dependency tree anew on every
request. Here the routes are found in a table by method and path, and a route's tree is
flattened at start into a `CompiledRoute`. FastAPI runs everything that this file does
not know: a route whose tree has a `def` dependency, security scopes, background tasks
or files; a path that an earlier route might answer; and every route while
`app.dependency_overrides` is used. Both ways give the same answers:
`tests/test_compiled_routes.py` compares them over generated applications.

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
    """The state of one request; dependencies are identified by their position."""

    request: Request
    draft: Response | None
    stack: AsyncExitStack | None
    results: list[Any]
    failures: dict[int, list[Any]]
    """Validation errors of dependencies, by position. Those are not called."""


class _Dependency:
    """One function of a route's dependency tree, and the sources of its arguments."""

    def __init__(
        self, dependant: Dependant, positions: Mapping[Any, int], path_names: set[str]
    ) -> None:
        self.call: Any = dependant.call
        self.opens: Callable[..., AbstractAsyncContextManager[Any]] | None = None
        if _is_async_gen_callable(self.call):
            generator: Any = self.call
            self.opens = asynccontextmanager(generator)
        self._readers = list(_readers(dependant, path_names))
        subs = [(d.name, positions[_key(d)]) for d in dependant.dependencies]
        self._needs = [position for _, position in subs]
        self._links = [(name, position) for name, position in subs if name]
        self._request_name = dependant.request_param_name
        self._response_name = dependant.response_param_name

    def arguments(self, state: _RequestState) -> tuple[dict[str, Any], list[Any]]:
        """Return its arguments and their validation errors.

        As in FastAPI, errors of a dependency that two others need are listed twice.
        """
        errors: list[Any] = []
        if state.failures:
            for position in self._needs:
                errors += state.failures.get(position, ())
        values = {name: state.results[position] for name, position in self._links}
        for read in self._readers:
            values |= read(state.request, errors)
        if self._request_name:
            values[self._request_name] = state.request
        if self._response_name:
            values[self._response_name] = state.draft
        return values, errors

    async def resolve(self, position: int, state: _RequestState) -> None:
        """Call it and store its value, or store the errors of its input."""
        values, errors = self.arguments(state)
        if errors:
            state.failures[position] = errors
        elif self.opens is not None and state.stack is not None:
            manager = self.opens(**values)
            state.results[position] = await state.stack.enter_async_context(manager)
        else:
            state.results[position] = await self.call(**values)


def _key(dependant: Dependant) -> Any:
    # FastAPI's own cache key: dependencies with equal keys share one value.
    return _get_cache_key(dependant=dependant)


Reader = Callable[[Request, list[Any]], dict[str, Any]]


def _readers(dependant: Dependant, path_names: set[str]) -> Iterator[Reader]:
    """Yield a reader for each kind of parameter of a function."""
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
    """Return a reader that uses FastAPI's own function, for any parameters."""

    def read(request: Request, errors: list[Any]) -> dict[str, Any]:
        values, wrong = request_params_to_args(fields, getattr(request, source))
        errors += wrong
        return values

    return read


def _has_plain_name(field: ModelField) -> bool:
    return field.alias == field.name and field.field_info.validation_alias is None


def _path_reader(fields: list[ModelField]) -> Reader:
    """Return a reader of path parameters.

    They are always present and always text; knowing that saves 30 µs.
    """

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
    """Return the model of a list's parameters, if the query has nothing else."""
    annotation: Any = fields[0].field_info.annotation
    is_list = inspect.isclass(annotation) and issubclass(annotation, ListParams)
    if len(fields) > 1 or not is_list:
        return None
    kinds = [field.annotation for field in annotation.model_fields.values()]
    # A sequence takes every value of a repeated name, which `_list_reader` doesn't.
    has_sequence = any(field_annotation_is_sequence(kind) for kind in kinds)
    return None if has_sequence else annotation


def _list_reader(field: ModelField, model: type[ListParams]) -> Reader:
    """Return a reader of a list's parameters.

    They are plain names and text; knowing that saves 100 µs. Of a repeated name the
    last value counts, as it does in FastAPI.
    """

    def read(request: Request, errors: list[Any]) -> dict[str, Any]:
        query = request.scope["query_string"].decode("latin-1")
        try:
            values = dict(parse_qsl(query, keep_blank_values=True))
            return {field.name: model.model_validate(values)}
        except ValidationError as error:
            errors += [
                {**wrong, "loc": ("query", *wrong["loc"])}
                for wrong in error.errors(include_url=False)
            ]
            return {}

    return read


class CompiledRoute:
    """A route's dependency tree as a flat list of calls, built once at start."""

    def __init__(self, route: Any, steps: Mapping[Any, Dependant]) -> None:
        positions = {key: position for position, key in enumerate(steps)}
        names = set(route.param_convertors)
        self._steps = [_Dependency(step, positions, names) for step in steps.values()]
        self._endpoint = _Dependency(route.dependant, positions, names)
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
        """Compile a route. Return None if FastAPI must run it."""
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
        state = _RequestState(request, draft, stack, [None] * len(self._steps), {})
        for position, step in enumerate(self._steps):
            await step.resolve(position, state)
        values, errors = self._endpoint.arguments(state)
        if self._body_params:
            values |= await self._body_values(body, errors)
        if errors:
            no_body = body is PydanticUndefined
            raise RequestValidationError(errors, body=None if no_body else body)
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
            value, body_errors = whole.validate(body, {}, loc=("body",))
            errors += body_errors
            return {whole.name: value}
        values, body_errors = await request_body_to_args(
            body_fields=self._body_params,
            received_body=body,
            embed_body_fields=self._embed,
        )
        errors += body_errors
        return values


def _draft_response() -> Response:
    """Return the response that collects the headers and status of an endpoint."""
    draft = Response(status_code=HTTPStatus.NO_CONTENT)  # has no content-length
    draft.status_code = None  # type: ignore[assignment]  # not set yet, as in FastAPI
    return draft


def _is_form(body_field: Any) -> bool:
    return body_field is not None and isinstance(body_field.field_info, params.Form)


def _is_plain(route: Any) -> bool:
    """Return whether the endpoint uses no feature that only FastAPI supports."""
    return (
        _is_coroutine(route.dependant.call)
        and _is_supported(route.dependant)
        and route.stream_item_field is None
        and route.max_body_size is None
        and not route.original_route.form_limits
        and answers_plain_json(route)
        and not isinstance(getattr(route.body_field, "field_info", None), params.File)
    )


def _flatten(dependant: Dependant, steps: dict[Any, Dependant]) -> bool:
    """Add each dependency once, after those it needs. Return False if one can't run."""
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
        and _is_supported(dependant)
        and not dependant.body_params
        and dependant.concurrency is None
        and dependant.use_cache
    )


def _is_coroutine(call: Any) -> bool:
    """Return whether FastAPI awaits it, which it doesn't do with generators."""
    is_generator = _is_gen_callable(call) or _is_async_gen_callable(call)
    return _is_coroutine_callable(call) and not is_generator


def _is_supported(dependant: Dependant) -> bool:
    return not (
        dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.websocket_param_name
        or dependant.http_connection_param_name
    )


class _Match(NamedTuple):
    """A route, with the values of its path parameters."""

    template: str
    route: APIRoute
    compiled: CompiledRoute
    path_params: dict[str, str]


class _Entry(NamedTuple):
    """A route, at the position at which FastAPI tries it."""

    position: int
    route: Any
    path: str
    methods: frozenset[str]  # empty: any
    regex: re.Pattern[str] | None  # None: only FastAPI knows what it matches
    names: tuple[tuple[int, str], ...] = ()
    compiled: CompiledRoute | None = None
    is_looked_up: bool = False
    before: tuple[_Entry, ...] = ()
    """Routes that FastAPI tries earlier, that the table lacks and that might match."""

    def answers(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def might_answer(self, method: str, path: str) -> bool:
        if self.regex is None:
            return True
        return self.answers(method) and self.regex.match(path) is not None

    def might_meet(self, path: str) -> bool:
        """Return whether a request could match both this route and a path template."""
        prefix, other = self.path.partition("{")[0], path.partition("{")[0]
        is_apart = not prefix.startswith(other) and not other.startswith(prefix)
        return self.regex is None or not is_apart


_ByShape = dict[tuple[int, ...], dict[str, list[_Entry]]]
"""Routes with as many segments, by the positions of their parameters and by shape."""


class RouteTable:
    """Every route of an application, by path and method, in FastAPI's order.

    A path with parameters is looked up by its shape: `/users/{}` for `/users/0199…`,
    with the positions of parameters in routes of as many segments. If several match,
    the one declared first counts. Routes of other kinds (mounts, hosts, converters,
    parameters in a part of a segment) are not looked up: where such a route might match
    first, `find` returns None.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._build()

    def _build(self) -> None:
        router = self._app.router
        self._routes = list(router.routes)
        self._versions = list(_versions(router))
        self._entries: list[_Entry] = []
        self._lengths: dict[int, _ByShape] = {}
        is_plain = _is_plain_router(router) and router.middleware_stack == router.app
        context = _RouterContext(is_plain, bool(router.form_limits))
        for route, around in _walk(router.routes, context):
            self._add(route, around)

    def _is_current(self) -> bool:
        """Return whether no route was added or removed since the table was built."""
        for router, version in self._versions:
            if router._routes_version != version:  # noqa: SLF001, FastAPI's own check
                return False
        return self._app.router.routes == self._routes

    def _add(self, route: RouteContext, around: _RouterContext) -> None:
        matches = type(route.original_route).matches
        if matches in _FOR_WEBSOCKETS:
            return
        is_standard = around.is_plain and matches in _BY_REGEX
        is_standard = is_standard and "matches" not in vars(route.original_route)
        entry = _Entry(
            position=len(self._entries),
            route=route,
            path=route.path or "",
            methods=frozenset(route.methods or ()),
            regex=route.path_regex if is_standard else None,
        )
        if is_standard and matches is APIRoute.matches and _has_shape(route):
            entry = self._look_up(entry, around)
        self._entries.append(entry)

    def _look_up(self, entry: _Entry, around: _RouterContext) -> _Entry:
        """Add an entry to the table, by its shape."""
        route, path = entry.route, entry.route.path_format
        segments = path.split("/")
        names = [(i, s[1:-1]) for i, s in enumerate(segments) if _is_parameter(s)]
        positions = tuple(i for i, _ in names)
        left_alone = around.limits_forms and _is_form(route.body_field)
        entry = entry._replace(
            path=path,
            names=tuple(names),
            compiled=None if left_alone else CompiledRoute.of(route),
            before=tuple(
                e for e in self._entries if not e.is_looked_up and e.might_meet(path)
            ),
            is_looked_up=True,
        )
        shapes = self._lengths.setdefault(len(segments), {}).setdefault(positions, {})
        shapes.setdefault(_shape(segments, positions), []).append(entry)
        return entry

    def find(self, method: str, path: str) -> _Match | None:
        """Return the compiled route that answers a request, or None: FastAPI does."""
        if not self._is_current():
            self._build()
        segments = path.split("/")
        entry = self._first(method, segments)
        if entry is None or entry.compiled is None:
            return None
        if entry.before and any(e.might_answer(method, path) for e in entry.before):
            return None
        if path.endswith("\n"):
            return None  # Starlette's patterns end in `$`, which matches before it
        values = {name: segments[i] for i, name in entry.names}
        return _Match(entry.path, entry.route.original_route, entry.compiled, values)

    def _first(self, method: str, segments: list[str]) -> _Entry | None:
        first: _Entry | None = None
        for positions, shapes in self._lengths.get(len(segments), {}).items():
            for entry in shapes.get(_shape(segments, positions), ()):
                if first is not None and first.position < entry.position:
                    break
                if entry.answers(method) and all(segments[i] for i in positions):
                    first = entry
                    break
        return first

    def methods(self, path: str) -> set[str]:
        """Return every method that a route answers at this path."""
        return {
            method
            for entry in self._entries
            if entry.regex is not None and entry.regex.match(path)
            for method in entry.methods
        }


_FOR_WEBSOCKETS = {starlette.WebSocketRoute.matches, APIWebSocketRoute.matches}
_BY_REGEX = {APIRoute.matches, starlette.Route.matches, starlette.Mount.matches}


class _RouterContext(NamedTuple):
    """How the routers that include a route affect it."""

    is_plain: bool
    """No router overrides how a request is matched or handled."""
    limits_forms: bool


def _versions(router: APIRouter) -> Iterator[tuple[APIRouter, int]]:
    """Yield every router of an application, with the number of its changes."""
    yield router, router._routes_version  # noqa: SLF001, FastAPI's own check
    for route in router.routes:
        if isinstance(route, _IncludedRouter):
            yield from _versions(route.original_router)


def _walk(
    routes: Iterable[Any], around: _RouterContext
) -> Iterator[tuple[Any, _RouterContext]]:
    """Yield every route in the order in which FastAPI tries it, included ones too."""
    for route in routes:
        if isinstance(route, _IncludedRouter):
            inner = _RouterContext(
                around.is_plain and _is_plain_router(route.original_router),
                around.limits_forms or bool(route.include_context.form_limits),
            )
            try:
                candidates = route.effective_candidates()
            except FastAPIError:  # FastAPI raises it again for each request
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
    """Return whether all parameters are whole segments that match any text."""
    converters = route.param_convertors.values()
    parameters = [s for s in route.path_format.split("/") if _is_parameter(s)]
    return len(parameters) == len(converters) and all(
        type(converter) is StringConvertor for converter in converters
    )


_PARAMETER = re.compile(r"\{[a-zA-Z_][a-zA-Z0-9_]*\}")


def _is_parameter(segment: str) -> bool:
    return _PARAMETER.fullmatch(segment) is not None


def _shape(segments: list[str], positions: tuple[int, ...]) -> str:
    if not positions:
        return "/".join(segments)
    shape = segments.copy()
    for position in positions:
        shape[position] = "{}"
    return "/".join(shape)


class CompiledRouter:
    """ASGI application that runs compiled routes and passes the rest to FastAPI."""

    def __init__(self, app: FastAPI, table: RouteTable, fallback: ASGIApp) -> None:
        self._app = app
        self._table = table
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        match = None
        if self._may_be_compiled(scope):
            match = self._table.find(scope["method"], scope["path"])
        if match is None:
            await self._send(self._fallback, Request(scope, receive, send), send)
            return
        # An application that this one is mounted in may have set some before.
        scope["path_params"] = {**scope.get("path_params", {}), **match.path_params}
        scope["router"] = self._app.router
        scope["route"] = match.route
        scope["endpoint"] = match.route.endpoint
        scope["template"] = match.template
        await self._answer(match.compiled, scope, receive, send)

    def _may_be_compiled(self, scope: Scope) -> bool:
        return not scope.get("root_path") and not self._app.dependency_overrides

    async def _answer(
        self, compiled: CompiledRoute, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = JSONRequest(scope, receive)
        try:
            response = await compiled(request)
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
        """Send a response that may fail before it starts, such as a missing file."""
        is_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await response(request.scope, request.receive, send_and_note)
        except Exception as error:
            handler = find_handler(self._app, error)
            if handler is None or is_started:
                raise
            error_response = await _handled(handler, request, error)
            await error_response(request.scope, request.receive, send)


async def _handled(handler: Any, request: Request, error: Exception) -> Response:
    if is_async_callable(handler):
        response: Response = await handler(request, error)
        return response
    return cast("Response", await run_in_threadpool(handler, request, error))


_SENT_AT_ONCE = {Response, JSONResponse}


def find_handler(app: FastAPI, error: Exception) -> ErrorHandler | None:
    """Return the handler registered for an error, by its status or nearest class.

    An unexpected exception takes the handler of 500 or of `Exception`, whichever was
    registered last.
    """
    handlers: dict[Any, Any] = app.exception_handlers
    bugs = (HTTPStatus.INTERNAL_SERVER_ERROR, Exception)
    status = error.status_code if isinstance(error, HTTPException) else None
    keys = [key for key in (status, *type(error).__mro__) if key not in bugs]
    keys += [key for key in reversed(handlers) if key in bugs]
    registered = (handlers[key] for key in keys if key in handlers)
    return cast("ErrorHandler | None", next(registered, None))

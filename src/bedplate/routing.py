"""Routes that find and run their endpoint fast, with FastAPI's own way to fall back on.

FastAPI walks its routes one by one and each route's dependency tree anew on every
request. Here the routes are found in a table by method and path, and a route's tree is
flattened at start into a `Plan`. A route whose tree holds something that the plan does
not know (a `def` dependency, security scopes, background tasks, files) is left to
FastAPI, as is everything once `app.dependency_overrides` is used. Both ways give the
same answers, which `tests/test_routing.py` holds them to.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, FastAPI, params
from fastapi._compat import ModelField
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import ValidationError
from pydantic_core import PydanticUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.core import bodies
from bedplate.core.bodies import FORM, JSON, parse_json
from bedplate.core.preconditions import etag_of, is_known
from bedplate.idempotency import once
from bedplate.schemas import ListParams, ResponseSchema

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class JSONRequest(Request):
    """A request whose JSON is parsed strictly: no NaN, no bad UTF-8, no NUL."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        scope["request"] = self  # it holds the body, which can't be read twice

    async def json(self) -> Any:
        """The body.

        Raises:
            ValidationFailed: it is not JSON, or holds text that can't be stored.
        """
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class Route(APIRoute):
    """A route of ours: 415 for foreign media types, ETags, POSTs that are done once.

    A response model that is a struct becomes bytes without a second validation. On
    FastAPI's own handler it stays a normal route; `RouteTable` runs its plan.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        creates = options.get("status_code") == HTTPStatus.CREATED
        self.is_idempotent = creates and inspect.iscoroutinefunction(endpoint)
        if self.is_idempotent:
            endpoint = once(endpoint, self.respond)
        super().__init__(path, endpoint, **options)

    @cached_property
    def struct(self) -> type[ResponseSchema] | None:
        return _struct(self.response_model)

    @cached_property
    def is_resource(self) -> bool:
        """Whether it answers with one resource, which then carries an `ETag`."""
        return self.struct is not None and "id" in self.struct.__struct_fields__

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        accepted = _accepted_media_type(self)

        async def handle(request: Request) -> Response:
            request = JSONRequest(request.scope, request.receive)
            check_media_type(request, accepted)
            if accepted is JSON and await request.body():
                await request.json()  # kept; FastAPI would make a 400 of our refusal
            elif accepted is FORM:
                bodies.check_form_size(await request.body())
            response = await handler(request)
            return _with_etag(request, response) if self.is_resource else response

        return handle

    def respond(
        self, request: Request, answer: Any, draft: Response | None
    ) -> Response:
        """The response that an endpoint's answer, and the headers it set, make."""
        if isinstance(answer, Response):
            return answer
        response = Response(
            self._encode(answer),
            (draft and draft.status_code) or self.status_code or HTTPStatus.OK,
            media_type="application/json" if self.response_field else None,
        )
        if draft is not None:
            response.raw_headers.extend(draft.raw_headers)
        return _with_etag(request, response) if self.is_resource else response

    def _encode(self, answer: Any) -> bytes:
        field, struct = self.response_field, self.struct
        if field is None:
            return b""
        if struct is not None:
            return _encoder.encode(
                answer if type(answer) is struct else struct.of(answer)
            )
        value, errors = field.validate(answer, {}, loc=("response",))
        if errors:
            wrong = [error["loc"] for error in errors]  # no values: this is logged
            raise TypeError(f"the endpoint's answer doesn't fit its response: {wrong}")
        return bytes(field.serialize_json(value))


_encoder = msgspec.json.Encoder()


def _struct(response_model: Any) -> type[ResponseSchema] | None:
    is_struct = inspect.isclass(response_model) and issubclass(
        response_model, ResponseSchema
    )
    return response_model if is_struct else None


def _with_etag(request: Request, response: Response) -> Response:
    """The resource with its `ETag`, or 304 for whoever has it already."""
    has_tag = any(name == b"etag" for name, _ in response.raw_headers)
    if has_tag or response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return response  # a replay, 304, or a refusal
    etag = etag_of(bytes(response.body))
    known = request.headers.getlist("if-none-match") if request.method == "GET" else ()
    if known and is_known(",".join(known), etag):
        response = Response(status_code=HTTPStatus.NOT_MODIFIED)
    # May be kept, but not used without asking: who may see it can change.
    headers = [(b"etag", etag.encode()), (b"cache-control", b"no-cache")]
    response.raw_headers.extend(headers)
    return response


class Router(APIRouter):
    """FastAPI's router, making our routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, **options)


def _accepted_media_type(route: Any) -> re.Pattern[str] | None:
    """The body's media type; None where any will do (no body, or an upload)."""
    if route.body_field is None or isinstance(route.body_field.field_info, params.File):
        return None
    return FORM if isinstance(route.body_field.field_info, params.Form) else JSON


def check_media_type(request: Request, accepted: re.Pattern[str] | None) -> None:
    """Refuse a body of a media type that the route doesn't take.

    Raises:
        UnsupportedMediaType: there is a body, and it is none of ours.
    """
    if accepted is not None:
        bodies.check_media_type(request.headers, accepted)


class _Call:
    """One function of a route's tree, with how each of its arguments comes about."""

    def __init__(self, dependant: Dependant) -> None:
        self.call: Any = dependant.call
        self.opens: Callable[..., AbstractAsyncContextManager[Any]] | None = None
        if inspect.isasyncgenfunction(self.call):
            self.opens = asynccontextmanager(self.call)
        self._readers = list(_readers(dependant))
        self._links = [(d.name, d.call) for d in dependant.dependencies if d.name]
        self._request_name = dependant.request_param_name
        self._response_name = dependant.response_param_name

    def arguments(
        self,
        request: Request,
        draft: Response | None,
        results: Mapping[Any, Any],
        errors: list[Any],
    ) -> dict[str, Any]:
        """What to call it with; what is wrong is added to `errors`."""
        values = {name: results[call] for name, call in self._links}
        for read in self._readers:
            values |= read(request, errors)
        if self._request_name:
            values[self._request_name] = request
        if self._response_name:
            values[self._response_name] = draft
        return values

    async def take(
        self,
        request: Request,
        draft: Response | None,
        results: Mapping[Any, Any],
        errors: list[Any],
        stack: AsyncExitStack | None,
    ) -> Any:
        """A dependency's value; None once its input is wrong: it won't be used."""
        known = len(errors)
        values = self.arguments(request, draft, results, errors)
        if len(errors) > known:
            return None
        if self.opens is not None and stack is not None:
            return await stack.enter_async_context(self.opens(**values))
        return await self.call(**values)


Reader = Callable[[Request, list[Any]], dict[str, Any]]


def _readers(dependant: Dependant) -> Iterator[Reader]:
    """How to read a function's own parameters from a request."""
    for fields, source in (
        (dependant.path_params, "path_params"),
        (dependant.query_params, "query_params"),
        (dependant.header_params, "headers"),
        (dependant.cookie_params, "cookies"),
    ):
        if not fields:
            continue
        if source == "path_params" and all(_has_plain_name(f) for f in fields):
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
    annotation = fields[0].field_info.annotation
    is_list = inspect.isclass(annotation) and issubclass(annotation, ListParams)
    return annotation if len(fields) == 1 and is_list else None


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


class Plan:
    """A route's dependency tree as a flat list of calls, made once at start."""

    def __init__(self, route: Any, steps: list[Dependant]) -> None:
        self._steps = [_Call(dependant) for dependant in steps]
        self._endpoint = _Call(route.dependant)
        self._body_params = route.dependant.body_params
        self._body_field = route.body_field
        self._is_form = _is_form(route.body_field)
        self._embed = route._embed_body_fields  # noqa: SLF001, tests/test_routing.py
        is_whole = len(self._body_params) == 1 and not (self._embed or self._is_form)
        self._whole_body = self._body_params[0] if is_whole else None
        self._accepted = _accepted_media_type(route)
        self._route: Route = route.original_route
        self._opens = any(step.opens for step in self._steps)
        everything = (route.dependant, *steps)
        self._sets_headers = any(d.response_param_name for d in everything)

    @classmethod
    def of(cls, route: Any) -> Plan | None:
        """The plan of a route, or None when FastAPI must run it."""
        if not isinstance(route.original_route, Route):
            return None
        steps: list[Dependant] = []
        if not _flatten(route.dependant, steps, set()) or not _is_plain(route):
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
        errors: list[Any] = []
        results: dict[Any, Any] = {}
        for step in self._steps:
            results[step.call] = await step.take(request, draft, results, errors, stack)
        values = self._endpoint.arguments(request, draft, results, errors)
        if self._body_params:
            values |= await self._body_values(body, errors)
        if errors:
            raise RequestValidationError(errors)
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
        _is_async_function(route.dependant.call)
        and _is_known(route.dependant)
        and route.stream_item_field is None
        and _has_default_limits(route)
        and _answers_plain_json(route)
        and not isinstance(getattr(route.body_field, "field_info", None), params.File)
    )


def _has_default_limits(route: Any) -> bool:
    """Whether the body has no limits of its own, which FastAPI enforces."""
    original = route.original_route
    return route.max_body_size is None and not original.form_limits


def _answers_plain_json(route: Any) -> bool:
    """Whether the answer is the declared model as it stands, or nothing at all."""
    if route.response_field is None and not _answers_itself(route):
        return False
    return isinstance(route.response_class, DefaultPlaceholder) and not (
        route.response_model_exclude_unset
        or route.response_model_exclude_none
        or route.response_model_exclude_defaults
        or route.response_model_include
        or route.response_model_exclude
        or not route.response_model_by_alias
    )


def _answers_itself(route: Any) -> bool:
    """Whether there is no body, or the endpoint makes the whole response."""
    made = inspect.signature(route.dependant.call, eval_str=True).return_annotation
    return not is_body_allowed_for_status_code(route.status_code) or (
        inspect.isclass(made) and issubclass(made, Response)
    )


def _flatten(dependant: Dependant, steps: list[Dependant], seen: set[Any]) -> bool:
    """Each dependency once, after those it needs; False when one is unknown to us."""
    for sub in dependant.dependencies:
        call: Any = sub.call
        is_generator = inspect.isasyncgenfunction(call)
        if not (is_generator and sub.scope == "function") and not _is_async(call):
            return False
        if not _is_known(sub) or sub.body_params or sub.concurrency is not None:
            return False
        if not sub.use_cache or not _flatten(sub, steps, seen):
            return False
        if call not in seen:
            seen.add(call)
            steps.append(sub)
    return True


def _is_known(dependant: Dependant) -> bool:
    return not (
        dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or dependant.websocket_param_name
        or dependant.http_connection_param_name
    )


def _is_async_function(call: Any) -> bool:
    return inspect.iscoroutinefunction(call)


def _is_async(call: Any) -> bool:
    """An `async def`, or an object whose `__call__` is one."""
    return _is_async_function(call) or (
        not inspect.isclass(call)
        and inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    )


class _Found(NamedTuple):
    """A route that was found, with the values of its path's parameters."""

    template: str
    route: APIRoute
    plan: Plan
    path_params: dict[str, str]


class _Endpoint(NamedTuple):
    route: APIRoute
    plan: Plan | None


class RouteTable:
    """Every API route of an application, by path and method.

    A path with parameters is looked up by its shape: `/users/{}` for
    `/users/0199…`, with the parameters' places taken from the routes of that length.
    """

    def __init__(self, app: FastAPI) -> None:
        self._endpoints: dict[str, dict[str, _Endpoint]] = {}
        self._templates: dict[str, str] = {}
        self._names: dict[str, list[tuple[int, str]]] = {}
        self._places: dict[int, set[tuple[int, ...]]] = {}
        for route in iter_route_contexts(app.router.routes):
            self._add(route)

    def _add(self, route: RouteContext) -> None:
        original, path = route.original_route, route.path_format
        if (
            not isinstance(original, APIRoute)
            or path is None
            or ":" in (route.path or "")
        ):
            return  # a mount, a plain Starlette route, or a converter of its own
        segments = path.split("/")
        names = [(i, s[1:-1]) for i, s in enumerate(segments) if s.startswith("{")]
        if any("{" in s and not _PARAMETER.fullmatch(s) for s in segments):
            return
        shape = _shape(segments, [i for i, _ in names])
        self._templates.setdefault(shape, path)
        if self._templates[shape] != path:
            return  # other names in the same places: FastAPI's order decides
        self._names[shape] = names
        self._places.setdefault(len(segments), set()).add(tuple(i for i, _ in names))
        methods = self._endpoints.setdefault(shape, {})
        for method in route.methods or ():
            methods.setdefault(method, _Endpoint(original, Plan.of(route)))

    def find(self, method: str, path: str) -> _Found | None:
        """The route that answers, if its plan is known here."""
        for shape, segments in self._shapes(path):
            endpoint = self._endpoints[shape].get(method)
            if endpoint is None or endpoint.plan is None:
                return None
            values = {name: segments[i] for i, name in self._names[shape]}
            return _Found(self._templates[shape], endpoint.route, endpoint.plan, values)
        return None

    def methods(self, path: str) -> set[str]:
        """Every method that some route answers at this path."""
        return {m for shape, _ in self._shapes(path) for m in self._endpoints[shape]}

    def _shapes(self, path: str) -> Iterator[tuple[str, list[str]]]:
        segments = path.split("/")
        if path in self._endpoints:
            yield path, segments
        for places in self._places.get(len(segments), ()):
            if places and all(segments[i] for i in places):
                shape = _shape(segments, places)
                if shape in self._endpoints:
                    yield shape, segments


_PARAMETER = re.compile(r"\{\w+\}")


def _shape(segments: list[str], places: Iterable[int]) -> str:
    shape = segments.copy()
    for place in places:
        shape[place] = "{}"
    return "/".join(shape)


class TableRouter:
    """ASGI: runs the plan of the route that the table finds; the rest is FastAPI's."""

    def __init__(self, app: FastAPI, table: RouteTable, fallback: ASGIApp) -> None:
        self._app = app
        self._table = table
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http" and self._is_ours(scope):
            found = self._table.find(scope["method"], scope["path"])
        if found is None:
            await self._fallback(scope, receive, send)
            return
        scope["path_params"] = found.path_params
        scope["route"] = found.route
        scope["endpoint"] = found.route.endpoint
        scope["template"] = found.template
        await self._answer(found.plan, scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        return not scope.get("root_path") and not self._app.dependency_overrides

    async def _answer(
        self, plan: Plan, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = JSONRequest(scope, receive)
        try:
            response = await plan(request)
        except Exception as error:
            handler = find_handler(self._app, error)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)


def find_handler(app: FastAPI, error: Exception) -> ErrorHandler | None:
    """The handler registered for an error: by its status, or its nearest class."""
    handlers: Mapping[Any, Any] = app.exception_handlers
    if isinstance(error, HTTPException) and error.status_code in handlers:
        return cast("ErrorHandler", handlers[error.status_code])
    nearest = next((kind for kind in type(error).__mro__ if kind in handlers), None)
    return handlers[nearest] if nearest is not None else None

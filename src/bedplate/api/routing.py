"""`Router` and `Route`: FastAPI's, with ETags, strict JSON and idempotent POSTs.

`compiled.py` runs these routes faster than FastAPI does, with the same answers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import (
    Callable,
    Coroutine,
)
from functools import cached_property
from http import HTTPStatus
from types import UnionType
from typing import Annotated, Any, Union, get_origin

import msgspec
from fastapi import APIRouter, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.utils import (
    get_typed_return_annotation,
)
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import (
    ResponseValidationError,
)
from fastapi.routing import (
    APIRoute,
)
from fastapi.utils import is_body_allowed_for_status_code
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

from bedplate.api.idempotency import idempotent
from bedplate.core import bodies
from bedplate.core.bodies import FORM, JSON, parse_json
from bedplate.core.preconditions import etag_of, is_known
from bedplate.schemas import ResponseSchema

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JSONRequest(Request):
    """A request whose JSON is parsed strictly: no NaN, no bad UTF-8, no NUL."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        scope["request"] = self  # it holds the body, which can't be read twice

    async def json(self) -> Any:
        """Return the parsed body.

        Raises:
            ValidationFailed: it is not JSON, or has text that can't be stored.
        """
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class Route(APIRoute):
    """FastAPI's route, with 415 for other media types, ETags and idempotent POSTs.

    A response model that is a struct becomes bytes without a second validation. The
    route also works on FastAPI's own handler; `compiled.py` runs it faster. FastAPI
    runs every subclass, since it may override anything.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        creates = options.get("status_code") == HTTPStatus.CREATED
        self.is_idempotent = creates and inspect.iscoroutinefunction(endpoint)
        if self.is_idempotent:
            endpoint = idempotent(endpoint, self.respond)
        super().__init__(path, endpoint, **options)
        self._unwrapped_app = self.app
        if self.struct is not None:
            _check_answer(f"{endpoint.__module__}.{endpoint.__name__}", self)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing replaces what FastAPI would run."""
        return (
            type(self) is Route
            and self.app is self._unwrapped_app
            and not vars(self).keys() & {"get_route_handler", "handle", "matches"}
        )

    @cached_property
    def struct(self) -> type[ResponseSchema] | None:
        return _struct(self.response_model)

    @cached_property
    def is_resource(self) -> bool:
        """Whether it answers with one resource, which then has an `ETag`."""
        return self.struct is not None and "id" in self.struct.__struct_fields__

    @cached_property
    def answers_plain_json(self) -> bool:
        return answers_plain_json(self)

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        accepted = accepted_media_type(self)

        async def handle(request: Request) -> Response:
            request = JSONRequest(request.scope, request.receive)
            check_media_type(request, accepted)
            if accepted is JSON and await request.body():
                await request.json()  # cached; FastAPI would turn our error into a 400
            elif accepted is FORM:
                bodies.check_form_size(await request.body())
            response = await handler(request)
            return _with_etag(request, response) if self.is_resource else response

        return handle

    def respond(
        self, request: Request, answer: Any, draft: Response | None
    ) -> Response:
        """Return the response for an endpoint's answer and the headers that it set."""
        if isinstance(answer, Response):
            return answer
        status = (draft and draft.status_code) or self.status_code
        if self.answers_plain_json:
            response = self._plain_response(answer, status or HTTPStatus.OK)
        else:
            response = self._response_by_options(answer, status)
        if draft is not None:
            response.raw_headers.extend(draft.raw_headers)
        return _with_etag(request, response) if self.is_resource else response

    def _plain_response(self, answer: Any, status: int) -> Response:
        return Response(
            b"" if status in _BODILESS else self._encode(answer),
            status,
            media_type="application/json" if self.response_field else None,
        )

    def _encode(self, answer: Any) -> bytes:
        field, struct = self.response_field, self.struct
        if field is None:  # it should have returned a response, and has not
            return bytes(JSONResponse(jsonable_encoder(answer)).body)
        if struct is not None:
            return _encoder.encode(
                answer if type(answer) is struct else struct.of(answer)
            )
        return bytes(field.serialize_json(self._validated(answer)))

    def _validated(self, answer: Any) -> Any:
        assert self.response_field is not None
        value, errors = self.response_field.validate(answer, {}, loc=("response",))
        if errors:  # without values: this is logged
            details = [{"type": e["type"], "loc": e["loc"]} for e in errors]
            raise ResponseValidationError(details)
        return value

    def _response_by_options(self, answer: Any, status: int | None) -> Response:
        """Return the response as FastAPI makes it with `response_model_…` options."""
        field, kind = self.response_field, self.response_class
        if field is None:
            content = jsonable_encoder(answer)
        elif isinstance(kind, DefaultPlaceholder):
            content = field.serialize_json(
                self._validated(answer), **self._serialization
            )
            kind = _JSONBytes
        else:
            content = field.serialize(self._validated(answer), **self._serialization)
        make: Any = kind.value if isinstance(kind, DefaultPlaceholder) else kind
        options = {"status_code": status} if status else {}
        response: Response = make(content, **options)
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        return response

    @property
    def _serialization(self) -> dict[str, Any]:
        return {
            "include": self.response_model_include,
            "exclude": self.response_model_exclude,
            "by_alias": self.response_model_by_alias,
            "exclude_unset": self.response_model_exclude_unset,
            "exclude_defaults": self.response_model_exclude_defaults,
            "exclude_none": self.response_model_exclude_none,
        }


class _JSONBytes(Response):
    media_type = "application/json"


_encoder = msgspec.json.Encoder()
_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}


def _struct(response_model: Any) -> type[ResponseSchema] | None:
    is_struct = inspect.isclass(response_model) and issubclass(
        response_model, ResponseSchema
    )
    return response_model if is_struct else None


def _check_answer(name: str, route: Any) -> None:
    """Refuse an endpoint whose answer lacks fields of its response model.

    Raises:
        TypeError: names the endpoint and the fields. Without this check the first
            request would be answered 500.
    """
    annotation = get_typed_return_annotation(route.endpoint)
    answer = get_origin(annotation) or annotation
    # `Any`, `Annotated` and the type of unions are classes, but no answers.
    undecided = answer in (Any, object, Annotated, Union, UnionType)
    if undecided or not inspect.isclass(answer) or issubclass(answer, Response | dict):
        return
    # Fields of dataclasses and Pydantic models are annotations, not class attributes.
    declared = {n for c in answer.__mro__ for n in vars(c).get("__annotations__", ())}
    missing = [
        field
        for field in route.struct.__struct_fields__
        if field not in declared and not hasattr(answer, field)
    ]
    if missing:
        raise TypeError(
            f"{name} returns {answer.__name__}, which has no {', '.join(missing)} for "
            f"its response model {route.struct.__name__}"
        )


def _with_etag(request: Request, response: Response) -> Response:
    """Return the resource with its `ETag`, or 304 if the client has it already."""
    has_tag = any(name == b"etag" for name, _ in response.raw_headers)
    if has_tag or response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return response  # a stored response, 304 or an error
    etag = etag_of(bytes(response.body))
    is_get = request.method == "GET"
    tags = request.headers.getlist("if-none-match") if is_get else ()
    if tags and is_known(",".join(tags), etag):
        response = Response(status_code=HTTPStatus.NOT_MODIFIED)
    # It may be cached, but must be revalidated: permissions can change.
    headers = [(b"etag", etag.encode()), (b"cache-control", b"no-cache")]
    response.raw_headers.extend(headers)
    return response


class Router(APIRouter):
    """FastAPI's router with our class of routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, **options)


def accepted_media_type(route: Any) -> re.Pattern[str] | None:
    """Return the body's media type; None if any is accepted (no body, or an upload)."""
    if route.body_field is None or isinstance(route.body_field.field_info, params.File):
        return None
    return FORM if isinstance(route.body_field.field_info, params.Form) else JSON


def check_media_type(request: Request, accepted: re.Pattern[str] | None) -> None:
    """Refuse a body of a media type that the route doesn't take.

    Raises:
        UnsupportedMediaType: the body has another media type.
    """
    if accepted is not None:
        bodies.check_media_type(request.headers, accepted)


def answers_plain_json(route: Any) -> bool:
    """Return whether the answer is the declared model as it is, or nothing."""
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
    """Return whether the endpoint makes the whole response, or there is none."""
    annotation = get_typed_return_annotation(route.endpoint)
    return not is_body_allowed_for_status_code(route.status_code) or (
        inspect.isclass(annotation) and issubclass(annotation, Response)
    )

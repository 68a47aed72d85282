"""Every error, from every layer, in the one envelope."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bedplate.core.bodies import field_name
from bedplate.core.errors import (
    APIError,
    BadRequest,
    Detail,
    InternalError,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    ServiceUnavailable,
    UnsupportedMediaType,
    ValidationFailed,
)
from bedplate.core.origin import origin
from bedplate.core.request_log import add_to_request_log

logger = structlog.get_logger()

_BY_STATUS: Mapping[int, type[APIError]] = {
    kind.status_code: kind
    for kind in (
        BadRequest,
        NotAuthenticated,
        PermissionDenied,
        NotFound,
        MethodNotAllowed,
        PayloadTooLarge,
        UnsupportedMediaType,
        ValidationFailed,
        ServiceUnavailable,
    )
}


_MOST_DETAILS = 50  # or a body of unknown names is answered with six times its size


Handler = Callable[[Request, Exception], Awaitable[Response]]
Keep = Callable[[Request, Exception, Response], Awaitable[Response]]


class ErrorDetail(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Where: `body.email`, `query.page`, `path.user_id`.")
    message: str


class ErrorBody(BaseModel):
    """What went wrong, for a machine (`code`) and for a person (`message`)."""

    code: str
    message: str
    details: list[ErrorDetail] | None
    request_id: str | None


class ErrorResponse(BaseModel):
    """The body of every error."""

    error: ErrorBody


def render(error: APIError) -> Response:
    """The envelope of an error, as a response."""
    return Response(
        envelope(error),
        error.status_code,
        headers=dict(error.headers),
        media_type="application/json",
    )


def envelope(error: APIError) -> bytes:
    """Return the body of an error, and add its code to the request's log line."""
    add_to_request_log(code=error.code)
    body = {
        "code": error.code,
        "message": error.message,
        "details": _details(error.details),
        "request_id": origin.get().request_id,
    }
    return msgspec.json.encode({"error": body})


def _details(details: Iterable[Detail] | None) -> list[dict[str, str]] | None:
    return None if details is None else [detail._asdict() for detail in details]


def install_error_handlers(app: FastAPI, keep: Keep) -> None:
    """Let the application answer every error with the envelope.

    `keep` sees each error with its answer, and may give another.
    """
    handlers: dict[type[Exception], Handler] = {
        APIError: _handle_api_error,
        RequestValidationError: _handle_invalid_request,
        HTTPException: _handle_http_error,
    }
    for kind, handle in handlers.items():
        app.add_exception_handler(kind, _kept(handle, keep))
    app.add_exception_handler(Exception, _handle_bug)


def _kept(handle: Handler, keep: Keep) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        return await keep(request, error, await handle(request, error))

    return answer


async def _handle_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, APIError)
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("unavailable", code=error.code, cause=repr(error.__cause__))
    return render(error)


async def _handle_invalid_request(_request: Request, error: Exception) -> Response:
    """422 with fields and messages only: `errors()` also holds the rejected input."""
    assert isinstance(error, RequestValidationError)
    return render(ValidationFailed(details=details_of(error.errors())))


def details_of(errors: Sequence[Mapping[str, Any]], *prefix: str) -> list[Detail]:
    """Pydantic's errors as ours, below a place such as `body`."""
    found = errors[:_MOST_DETAILS]
    return [Detail(field_name((*prefix, *e["loc"])), _message(e)) for e in found]


def _message(error: Mapping[str, Any]) -> str:
    """Pydantic's words, less what of the input they quote."""
    message = str(error["msg"]).removeprefix("Value error, ")
    return message.partition(",")[0] if "pars" in error["type"] else message


def describe_error(error: Mapping[str, Any]) -> str:
    """One of Pydantic's errors in one line, without the input."""
    return f"{field_name(error['loc'])}: {_message(error)}"


async def _handle_http_error(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI raise themselves: 404, 405, a broken form, …"""
    assert isinstance(error, HTTPException)
    kind = error_of(error.status_code)
    headers = dict(error.headers or {})
    if kind is MethodNotAllowed:
        allowed = request.app.state.route_table().methods(request.url.path)
        headers["Allow"] = ", ".join(sorted(allowed)) or headers.get("Allow", "")
    return render(kind(headers=headers))


def error_of(status: int) -> type[APIError]:
    """The error of a status that a framework answers with."""
    return _BY_STATUS.get(status) or _unnamed(status)


def _unnamed(status: int) -> type[APIError]:
    """An error for a status that the contract has no name for (a user's own 418)."""
    phrase = HTTPStatus(status).phrase
    fields = {
        "status_code": status,
        "code": phrase.upper().replace(" ", "_").replace("'", ""),
        "message": phrase,
    }
    return type("UnnamedError", (APIError,), fields)


async def _handle_bug(request: Request, error: Exception) -> Response:
    logger.error("bug", path=request.url.path, exc_info=error)
    return render(InternalError())

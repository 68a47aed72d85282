"""Every error, from every layer, in the one envelope."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bedplate.core.bodies import field_name
from bedplate.core.errors import (
    APIError,
    Detail,
    InternalError,
    ValidationFailed,
)
from bedplate.core.http_errors import MOST_DETAILS, error_for
from bedplate.core.origin import origin
from bedplate.core.request_log import add_to_request_log

logger = structlog.get_logger()

CLIENT_LEFT = 499
"""The status in logs and metrics of a request whose client left before the answer."""


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
        ClientDisconnect: _handle_client_left,
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
    found = errors[:MOST_DETAILS]
    return [Detail(field_name((*prefix, *e["loc"])), _message(e)) for e in found]


def _message(error: Mapping[str, Any]) -> str:
    """Pydantic's words, less what of the input they quote."""
    message = str(error["msg"]).removeprefix("Value error, ")
    return message.partition(",")[0] if "pars" in error["type"] else message


def describe_error(error: Mapping[str, Any]) -> str:
    """One of Pydantic's errors in one line, without the input."""
    return f"{field_name(error['loc'])}: {_message(error)}"


async def _handle_http_error(request: Request, error: Exception) -> Response:
    """Answer what Starlette, FastAPI and your own endpoints raise: 404, 405, 409, …"""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI makes a 400 of it
        return Response(status_code=CLIENT_LEFT)
    status, headers = error.status_code, dict(error.headers or {})
    if not is_body_allowed_for_status_code(status) or status < HTTPStatus.BAD_REQUEST:
        return Response(status_code=status, headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "GET, HEAD")
    meant = error_for(status, error.detail, headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("unavailable", code=meant.code, cause=repr(error))
    return render(meant)


def _allowed(request: Request) -> str:
    """Return every method of a path. Whatever answers GET answers HEAD."""
    methods = set(request.app.state.route_table().methods(request.url.path))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _handle_client_left(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client left while it sent its request."""
    return Response(status_code=CLIENT_LEFT)


async def _handle_bug(request: Request, error: Exception) -> Response:
    logger.error("bug", path=request.url.path, exc_info=error)
    return render(InternalError())

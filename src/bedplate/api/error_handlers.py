"""FastAPI's error handlers: every error becomes the envelope of `core/envelope.py`."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bedplate.core.envelope import details_of
from bedplate.core.errors import (
    APIError,
    InternalError,
    ValidationFailed,
)
from bedplate.core.http_errors import error_for
from bedplate.middleware.error_response import CLIENT_LEFT, render

logger = structlog.get_logger()

Handler = Callable[[Request, Exception], Awaitable[Response]]
Store = Callable[[Request, Exception, Response], Awaitable[Response]]


def install_error_handlers(app: FastAPI, store: Store) -> None:
    """Let the application answer every error with the envelope.

    `store` gets each error with its response, and may return another response.
    """
    handlers: dict[type[Exception], Handler] = {
        APIError: _handle_api_error,
        RequestValidationError: _handle_invalid_request,
        HTTPException: _handle_http_error,
        ClientDisconnect: _handle_client_left,
    }
    for kind, handle in handlers.items():
        app.add_exception_handler(kind, _with_store(handle, store))
    app.add_exception_handler(Exception, _handle_bug)


def _with_store(handle: Handler, store: Store) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        return await store(request, error, await handle(request, error))

    return answer


async def _handle_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, APIError)
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("unavailable", code=error.code, cause=repr(error.__cause__))
    return render(error)


async def _handle_invalid_request(_request: Request, error: Exception) -> Response:
    """Answer 422 with fields and messages only: `errors()` also has the input."""
    assert isinstance(error, RequestValidationError)
    return render(ValidationFailed(details=details_of(error.errors())))


async def _handle_http_error(request: Request, error: Exception) -> Response:
    """Answer errors of Starlette, FastAPI and your endpoints, such as 404 and 409."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI turns it into a 400
        return Response(status_code=CLIENT_LEFT)
    status, headers = error.status_code, dict(error.headers or {})
    if not is_body_allowed_for_status_code(status) or status < HTTPStatus.BAD_REQUEST:
        return Response(status_code=status, headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "GET, HEAD")
    api_error = error_for(status, error.detail, headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("unavailable", code=api_error.code, cause=repr(error))
    return render(api_error)


def _allowed(request: Request) -> str:
    """Return every method of a path. HEAD is answered wherever GET is."""
    methods = set(request.app.state.route_table().methods(request.url.path))
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _handle_client_left(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client left while it sent its request."""
    return Response(status_code=CLIENT_LEFT)


async def _handle_bug(request: Request, error: Exception) -> Response:
    logger.error("bug", path=request.url.path, exc_info=error)
    return render(InternalError())

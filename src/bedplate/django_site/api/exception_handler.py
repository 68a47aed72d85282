"""Renders every error under Django in the error envelope."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.views import defaults
from rest_framework import exceptions

from bedplate.core import errors
from bedplate.core.errors import APIError, Detail
from bedplate.core.http_errors import error_for, leaves
from bedplate.django_site.api.responses import refuse

logger = structlog.get_logger()

_API_ERRORS: Mapping[type[Exception], type[APIError]] = {
    Http404: errors.NotFound,
    PermissionDenied: errors.PermissionDenied,
    RequestDataTooBig: errors.PayloadTooLarge,
    SuspiciousOperation: errors.BadRequest,
    BadRequest: errors.BadRequest,
    OperationalError: errors.ServiceUnavailable,
    InterfaceError: errors.ServiceUnavailable,
}


def to_api_error(error: Exception) -> APIError | None:
    """Return the API error of an exception, or None if the exception is a bug."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_rest_framework(error)
    for kind in type(error).__mro__:
        if kind in _API_ERRORS:
            return _API_ERRORS[kind]()
    return None


def _of_rest_framework(error: exceptions.APIException) -> APIError:
    if isinstance(error, exceptions.ValidationError):
        return errors.ValidationFailed(details=[*leaves(error.detail, "body")])
    if isinstance(error, exceptions.ParseError):
        message = "That is not valid JSON"
        return errors.ValidationFailed(details=[Detail("body", message)])
    if isinstance(error, exceptions.Throttled):
        wait = str(int(getattr(error, "wait", None) or 1))
        return errors.RateLimited(headers={"Retry-After": wait})
    return error_for(error.status_code, _detail(error), _headers(error))


def _detail(error: exceptions.APIException) -> Any:
    """Return the detail, or None for REST framework's defaults, which ours replace."""
    is_own = type(error).__module__ == exceptions.__name__
    is_default = is_own and error.detail == error.default_detail
    return None if is_default else _plain(error.detail)


def _plain(detail: Any) -> Any:
    """Return a tree of `ErrorDetail` as text: `ErrorDetail` compares by its code."""
    if isinstance(detail, Mapping):
        return {name: _plain(inner) for name, inner in detail.items()}
    if isinstance(detail, list | tuple):
        return [_plain(inner) for inner in detail]
    return str(detail)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    challenge = getattr(error, "auth_header", None)
    return {"WWW-Authenticate": challenge} if challenge else {}


def handle_exception(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Render any exception, as REST framework's `EXCEPTION_HANDLER`."""
    api_error = to_api_error(error)
    if api_error is None:
        request = context["request"]
        logger.error("bug", path=request.path, exc_info=error)
        return refuse(errors.InternalError())
    if api_error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        cause = repr(error.__cause__ or error)
        logger.warning("unavailable", code=api_error.code, cause=cause)
    return refuse(api_error)


# Errors that Django renders itself: `handler400` etc. of a project's `urls.py`.


def bad_request(request: Any, exception: Exception) -> Any:
    if _is_page(request):
        return defaults.bad_request(request, exception)
    return refuse(errors.BadRequest())


def not_found(request: Any, exception: Exception) -> Any:
    if _is_page(request):
        return defaults.page_not_found(request, exception)
    return refuse(errors.NotFound())


def server_error(request: Any) -> Any:
    if _is_page(request):
        return defaults.server_error(request)
    return refuse(errors.InternalError())


def _is_page(request: Any) -> bool:
    return bool(request.path.startswith("/admin"))

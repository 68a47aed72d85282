"""Converts exceptions of a framework, with a status and any `detail`, to API errors."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from bedplate.core.bodies import field_name
from bedplate.core.errors import (
    APIError,
    BadRequest,
    Conflict,
    Detail,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PreconditionFailed,
    RateLimited,
    RequestTimeout,
    ServiceUnavailable,
    UnsupportedMediaType,
    ValidationFailed,
)

_BY_STATUS: Mapping[int, type[APIError]] = {
    error_class.status_code: error_class
    for error_class in (
        BadRequest,
        NotAuthenticated,
        PermissionDenied,
        NotFound,
        MethodNotAllowed,
        RequestTimeout,
        Conflict,
        PreconditionFailed,
        PayloadTooLarge,
        UnsupportedMediaType,
        ValidationFailed,
        RateLimited,
        HeadersTooLarge,
        InternalError,
        ServiceUnavailable,
    )
}
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
# The field of a message that has no key.
_DEFAULT_FIELD = "detail"
MOST_DETAILS = 50
"""The most details that one error lists."""


def error_for(
    status: int, detail: Any = None, headers: Mapping[str, str] | None = None
) -> APIError:
    """Return the error for an exception such as `HTTPException(409, "Sold out")`.

    A string is the message. In a mapping, `message` and a `code` in upper case are
    those of the envelope. The rest of the mapping, or a list, becomes `details`: one
    for each text, with the keys that lead to it as its field. From 500 on the detail is
    dropped, since it may name a cause.
    """
    error_class = _BY_STATUS.get(status) or _make_error_class(status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or detail == _phrase(status):
        return error_class(headers=headers)
    if isinstance(detail, str):
        return error_class(detail, headers=headers)
    message, code = None, None
    if isinstance(detail, Mapping):
        detail = dict(detail)
        message, code = _pop(detail, "message", ".+"), _pop(detail, "code", _CODE)
    error = error_class(message, details=_details(detail), headers=headers)
    if code is not None:
        error.code = code  # type: ignore[misc]  # shadows the class's code
    return error


def _pop(detail: dict[str, Any], name: str, pattern: str | re.Pattern[str]) -> Any:
    """Remove and return a text that matches; None if the mapping has none."""
    value = detail.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        return None
    return detail.pop(name)


def _details(detail: Any) -> list[Detail] | None:
    return list(leaves(detail))[:MOST_DETAILS] or None


def leaves(detail: Any, field: str = "") -> Iterator[Detail]:
    """Yield each text in a tree of messages, with the keys that lead to it."""
    if detail is None:
        return
    if isinstance(detail, Mapping):
        yield from _leaves_of_mapping(detail, field)
    elif isinstance(detail, list | tuple):
        for inner in detail:
            yield from leaves(inner, field)
    else:
        yield Detail(field or _DEFAULT_FIELD, str(detail))


def _leaves_of_mapping(detail: Mapping[Any, Any], field: str) -> Iterator[Detail]:
    if detail.keys() >= {"loc", "msg"}:  # Pydantic's: don't send its input back
        yield Detail(field_name(tuple(detail["loc"])), str(detail["msg"]))
    elif detail.keys() == {"field", "message"}:
        yield Detail(str(detail["field"]), str(detail["message"]))
    else:
        for name, inner in detail.items():
            yield from leaves(inner, f"{field}.{name}" if field else str(name))


def _phrase(status: int) -> str:
    """Return the standard phrase of a status, or its number if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"


def _make_error_class(status: int) -> type[APIError]:
    """Return an error class for a status that the contract doesn't name, like 418."""
    phrase = _phrase(status)
    fields = {
        "status_code": status,
        "code": re.sub(r"\W", "_", phrase.upper().replace("'", "")),
        "message": phrase,
    }
    return type("UnnamedError", (APIError,), fields)

"""A framework's exception, with a status and a `detail` of any shape, as our error."""

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
    kind.status_code: kind
    for kind in (
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
# The field of a message that names none.
_UNNAMED = "detail"
MOST_DETAILS = 50
"""How many details one error lists, whatever was wrong with the request."""


def error_for(
    status: int, detail: Any = None, headers: Mapping[str, str] | None = None
) -> APIError:
    """Return the error for an exception such as `HTTPException(409, "Sold out")`.

    A text is the message. Of a mapping, `message` and a `code` in capitals are the
    envelope's. What is left of it, or a list, becomes `details`: each text is one, and
    the keys that lead to it are its field. At 500 and above the detail is dropped,
    since it may name a cause.
    """
    kind = _BY_STATUS.get(status) or _unnamed(status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or detail == _phrase(status):
        return kind(headers=headers)
    if isinstance(detail, str):
        return kind(detail, headers=headers)
    message, code = None, None
    if isinstance(detail, Mapping):
        detail = dict(detail)
        message, code = _take(detail, "message", ".+"), _take(detail, "code", _CODE)
    error = kind(message, details=_listed(detail), headers=headers)
    if code is not None:
        error.code = code  # type: ignore[misc]  # the class's, unless one was given
    return error


def _take(detail: dict[str, Any], name: str, pattern: str | re.Pattern[str]) -> Any:
    """Take a text out of a mapping; None if it has none of this form."""
    value = detail.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        return None
    return detail.pop(name)


def _listed(detail: Any) -> list[Detail] | None:
    return list(leaves(detail))[:MOST_DETAILS] or None


def leaves(detail: Any, field: str = "") -> Iterator[Detail]:
    """Yield each text of a tree of messages, with the keys that lead to it."""
    if detail is None:
        return
    if isinstance(detail, Mapping):
        yield from _leaves_of_mapping(detail, field)
    elif isinstance(detail, list | tuple):
        for inner in detail:
            yield from leaves(inner, field)
    else:
        yield Detail(field or _UNNAMED, str(detail))


def _leaves_of_mapping(detail: Mapping[Any, Any], field: str) -> Iterator[Detail]:
    if detail.keys() >= {"loc", "msg"}:  # one of Pydantic's, which also has the input
        yield Detail(field_name(tuple(detail["loc"])), str(detail["msg"]))
    elif detail.keys() == {"field", "message"}:
        yield Detail(str(detail["field"]), str(detail["message"]))
    else:
        for name, inner in detail.items():
            yield from leaves(inner, f"{field}.{name}" if field else str(name))


def _phrase(status: int) -> str:
    """Return the standard's phrase for a status; of a status of your own a number."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"


def _unnamed(status: int) -> type[APIError]:
    """Return an error for a status without a name in the contract (your own 418)."""
    phrase = _phrase(status)
    fields = {
        "status_code": status,
        "code": re.sub(r"\W", "_", phrase.upper().replace("'", "")),
        "message": phrase,
    }
    return type("UnnamedError", (APIError,), fields)

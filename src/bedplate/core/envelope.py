"""The envelope: the body of every error response, on both frameworks.

{"error": {"code": "NOT_FOUND", "message": "…", "details": null, "request_id": "…"}}
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from bedplate.core.bodies import field_name
from bedplate.core.errors import APIError, Detail
from bedplate.core.http_errors import MOST_DETAILS
from bedplate.core.origin import origin
from bedplate.core.request_log import add_to_request_log


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


def details_of(errors: Sequence[Mapping[str, Any]], *prefix: str) -> list[Detail]:
    """Convert Pydantic's errors to details, below a location such as `body`."""
    return [
        Detail(field_name((*prefix, *error["loc"])), _message(error))
        for error in errors[:MOST_DETAILS]
    ]


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    # Messages of parsing errors quote the input after a comma.
    return message.partition(",")[0] if "pars" in error["type"] else message


def describe_error(error: Mapping[str, Any]) -> str:
    """Return one of Pydantic's errors on one line, without the input."""
    return f"{field_name(error['loc'])}: {_message(error)}"

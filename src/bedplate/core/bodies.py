"""JSON bodies, read strictly and in the same way under every framework."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bedplate.core.errors import Detail, UnsupportedMediaType, ValidationFailed

JSON = re.compile(r"application/([\w.-]+\+)?json")
FORM = re.compile(r"application/x-www-form-urlencoded")
# What JSON can spell and text columns can't hold: NUL, and half a surrogate pair.
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def check_media_type(headers: Mapping[str, str], accepted: re.Pattern[str]) -> None:
    """Refuse a body of another media type; `headers` are found in any case.

    Raises:
        UnsupportedMediaType: there is a body, and it is none of those.
    """
    if not _has_body(headers):
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not accepted.fullmatch(media_type):
        raise UnsupportedMediaType


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def parse_json(raw: bytes) -> Any:
    """What a body says: no NaN, no bad UTF-8, no NUL.

    Raises:
        ValidationFailed: it is not JSON, or holds text that can't be stored.
    """
    try:
        data = msgspec.json.decode(raw)
        if _SUSPECT_ESCAPE.search(raw):
            _refuse_unstorable(data)
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise _refusal("That is not valid JSON", ("body",)) from None
    return data


def _refusal(message: str, location: tuple[str | int, ...]) -> ValidationFailed:
    return ValidationFailed(details=[Detail(field_name(location), message)])


LONGEST_NAME = 100


def field_name(location: tuple[int | str, ...]) -> str:
    """`body.email`. A name that the caller made up is cut, not echoed at length."""
    return ".".join(str(part)[:LONGEST_NAME] for part in location) or "body"


def _refuse_unstorable(data: Any, location: tuple[str | int, ...] = ("body",)) -> None:
    if isinstance(data, str):
        if "\x00" in data or not _is_unicode(data):
            message = "Text must not hold NUL or half of a surrogate pair"
            raise _refusal(message, location)
    elif isinstance(data, dict):
        for key, value in data.items():
            _refuse_unstorable(key, location)
            _refuse_unstorable(value, (*location, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_unstorable(value, (*location, index))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

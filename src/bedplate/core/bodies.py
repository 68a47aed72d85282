"""JSON bodies, read strictly and in the same way under every framework."""

import gc
import re
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from bedplate.core.errors import (
    Detail,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

JSON = re.compile(r"application/([\w.-]+\+)?json")
FORM = re.compile(r"application/x-www-form-urlencoded")
# What JSON can spell and text columns can't hold: NUL, and half a surrogate pair, which
# is a first half without its second or the other way round.
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile(
    rb"\\u(?:0000"
    rb"|[dD][89abAB]..(?!\\u[dD][c-fC-F])"
    rb"|[dD](?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"
)
_MOST_LOOKED_AT = 1000
_LARGE = 64 << 10
# Decoding a megabyte of `%20` takes a tenth of a second, on the event loop.
_MAX_FORM_BYTES = 128 << 10


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


def check_form_size(raw: bytes) -> None:
    """Raises PayloadTooLarge for a URL-encoded form that takes long to decode."""
    if len(raw) > _MAX_FORM_BYTES:
        raise PayloadTooLarge


def parse_json(raw: bytes) -> Any:
    """What a body says: no NaN, no bad UTF-8, no NUL.

    Raises:
        ValidationFailed: it is not JSON, or holds text that can't be stored.
    """
    try:
        data = _decode(raw)
        if _SUSPECT_ESCAPE.search(raw):
            _refuse_unstorable(raw, data)
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise _refusal("That is not valid JSON", ("body",)) from None
    return data


def _decode(raw: bytes) -> Any:
    if len(raw) < _LARGE or not gc.isenabled():
        return msgspec.json.decode(raw)
    # Each few hundred new lists start a collection. For a megabyte of `[]` these took
    # a second, and can't free anything: all of it is alive.
    gc.disable()
    try:
        return msgspec.json.decode(raw)
    finally:
        gc.enable()


def _refusal(message: str, location: tuple[str | int, ...]) -> ValidationFailed:
    return ValidationFailed(details=[Detail(field_name(location), message)])


LONGEST_NAME = 100
_LONGEST_FIELD = 300


def field_name(location: tuple[int | str, ...]) -> str:
    """`body.email`. A name that the caller made up is cut, not echoed at length."""
    parts = (str(part)[:LONGEST_NAME] for part in islice(location, _LONGEST_FIELD))
    return ".".join(parts)[:_LONGEST_FIELD] or "body"


def _refuse_unstorable(raw: bytes, data: Any) -> None:
    """Refuse text that holds NUL or half of a surrogate pair, naming where it is."""
    # Without escaped backslashes, whose second one could pass for an escape's.
    if _UNSTORABLE.search(raw.replace(rb"\\", b"__")):
        message = "Text must not hold NUL or half of a surrogate pair"
        raise _refusal(message, _find_unstorable(data))


def _find_unstorable(data: Any) -> tuple[str | int, ...]:
    """Return where the text is, if it is among the first that are looked at."""
    waiting: deque[tuple[Any, tuple[str | int, ...]]] = deque([(data, ("body",))])
    for _ in range(_MOST_LOOKED_AT):
        if not waiting:
            break
        value, location = waiting.popleft()
        if isinstance(value, str) and not _is_storable(value):
            return location
        room = _MOST_LOOKED_AT - len(waiting)
        waiting.extend(islice(_inside(value, location), max(room, 0)))
    return ("body",)


def _inside(
    value: Any, location: tuple[str | int, ...]
) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, location
            yield inner, (*location, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield inner, (*location, index)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text

"""Strict parsing of JSON bodies, the same under every framework."""

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
# JSON can spell characters that a text column can't store: NUL, and one half of a
# surrogate pair without the other.
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile(
    rb"\\u(?:0000"
    rb"|[dD][89abAB]..(?!\\u[dD][c-fC-F])"
    rb"|[dD](?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"
)
_MAX_VALUES_SEARCHED = 1000
_LARGE = 64 << 10
# Decoding a megabyte of `%20` takes a tenth of a second, on the event loop.
_MAX_FORM_BYTES = 128 << 10


def check_media_type(headers: Mapping[str, str], accepted: re.Pattern[str]) -> None:
    """Check the media type of a body. The names in `headers` must be case-insensitive.

    Raises:
        UnsupportedMediaType: there is a body, and its type is not `accepted`.
    """
    if not _has_body(headers):
        return
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not accepted.fullmatch(media_type):
        raise UnsupportedMediaType


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def check_form_size(raw: bytes) -> None:
    """Check the size of a URL-encoded form, which takes long to decode.

    Raises:
        PayloadTooLarge
    """
    if len(raw) > _MAX_FORM_BYTES:
        raise PayloadTooLarge


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON body. NaN, invalid UTF-8 and NUL are refused.

    Raises:
        ValidationFailed: it is not JSON, or contains text that can't be stored.
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
    # Every few hundred new lists trigger a garbage collection. For a megabyte of `[]`
    # they took a second and freed nothing, since every list is still in use.
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
    """Return the name of a field, such as `body.email`.

    Names of unknown fields come from the client, so long ones are cut.
    """
    parts = (str(part)[:LONGEST_NAME] for part in islice(location, _LONGEST_FIELD))
    return ".".join(parts)[:_LONGEST_FIELD] or "body"


def _refuse_unstorable(raw: bytes, data: Any) -> None:
    """Refuse text with NUL or half of a surrogate pair, and name its field."""
    # Replace escaped backslashes first: the second one looks like the start of an
    # escape.
    if _UNSTORABLE.search(raw.replace(rb"\\", b"__")):
        message = "Text must not hold NUL or half of a surrogate pair"
        raise _refusal(message, _find_unstorable(data))


def _find_unstorable(data: Any) -> tuple[str | int, ...]:
    """Return the location of the text, or `body` if it isn't among the first values."""
    queue: deque[tuple[Any, tuple[str | int, ...]]] = deque([(data, ("body",))])
    for _ in range(_MAX_VALUES_SEARCHED):
        if not queue:
            break
        value, location = queue.popleft()
        if isinstance(value, str) and not _is_storable(value):
            return location
        room = _MAX_VALUES_SEARCHED - len(queue)
        queue.extend(islice(_children(value, location), max(room, 0)))
    return ("body",)


def _children(
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

"""ETags and conditional requests (RFC 9110, sections 8.8.3 and 13.1)."""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from bedplate.core.errors import Detail, PreconditionFailed, ValidationFailed

MAX_TAGS_LENGTH = 1000
_TAG = r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")'
_TAGS = re.compile(_TAG)
_LIST = re.compile(rf"[\s,]*{_TAG}(?:\s*,[\s,]*{_TAG})*[\s,]*")
_encode = msgspec.json.Encoder().encode


def etag_of(representation: bytes) -> str:
    """Return a strong validator: it changes when anything in the body changes."""
    return f'"{blake2b(representation, digest_size=12).hexdigest()}"'


def is_known(if_none_match: str, etag: str) -> bool:
    """Return whether a client that sent `If-None-Match` has this representation.

    Raises:
        ValidationFailed: the header is longer than `MAX_TAGS_LENGTH`.
    """
    if len(if_none_match) > MAX_TAGS_LENGTH:
        message = f"At most {MAX_TAGS_LENGTH} characters"
        raise ValidationFailed(details=[Detail("header.If-None-Match", message)])
    return if_none_match.strip() == "*" or etag in {
        tag for _, tag in _tags(if_none_match)
    }


def _tags(header: str) -> list[tuple[str, str]]:
    """Return each tag as its weak mark and its text, nothing for a malformed header."""
    return _TAGS.findall(header) if _LIST.fullmatch(header) else []


class IfMatch:
    """The state that a client expects a resource to be in when it changes it.

    A weak tag matches too, although RFC 9110 requires a strong comparison: a proxy that
    compresses turns our `"x"` into `W/"x"`, and our tags always cover the whole
    representation. A header without a valid tag matches nothing, since an error is
    better than a lost update.
    """

    def __init__(self, header: str) -> None:
        self._any = header.strip() == "*"
        self._tags = {tag for _, tag in _tags(header)}

    @classmethod
    def of(cls, lines: Sequence[str]) -> "IfMatch":
        """Return the condition of a header that was sent in one or more lines.

        Raises:
            ValidationFailed: the header is longer than `MAX_TAGS_LENGTH`.
        """
        header = ",".join(lines)
        if len(header) > MAX_TAGS_LENGTH:
            message = f"String should have at most {MAX_TAGS_LENGTH} characters"
            raise ValidationFailed(details=[Detail("header.if-match", message)])
        return cls(header)

    def check(self, current: msgspec.Struct | None) -> None:
        """Compare with the current resource, whose row must be locked.

        Raises:
            PreconditionFailed: it has changed since then, or is deleted.
        """
        if current is None or not (
            self._any or etag_of(_encode(current)) in self._tags
        ):
            raise PreconditionFailed

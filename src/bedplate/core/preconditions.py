"""ETags, and what a request may ask of them (RFC 9110, sections 8.8.3 and 13.1)."""

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
    """A strong validator: it changes when anything in the body does."""
    return f'"{blake2b(representation, digest_size=12).hexdigest()}"'


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether whoever sent `If-None-Match` has this representation already.

    Raises:
        ValidationFailed: it is longer than anybody needs.
    """
    if len(if_none_match) > MAX_TAGS_LENGTH:
        told = f"At most {MAX_TAGS_LENGTH} characters"
        raise ValidationFailed(details=[Detail("header.If-None-Match", told)])
    return if_none_match.strip() == "*" or etag in {
        tag for _, tag in _tags(if_none_match)
    }


def _tags(header: str) -> list[tuple[str, str]]:
    """Whether each is weak, and its text; none of a header that is no list of tags."""
    return _TAGS.findall(header) if _LIST.fullmatch(header) else []


class IfMatch:
    """What the writer of a change takes the resource to be.

    A weak tag counts as ours: a proxy that compresses makes `W/"x"` of our `"x"`, and
    all our tags are made of the whole representation. RFC 9110 compares strongly here.
    A header that names no tag matches nothing: better a refusal than a lost update.
    """

    def __init__(self, header: str) -> None:
        self._any = header.strip() == "*"
        self._tags = {tag for _, tag in _tags(header)}

    @classmethod
    def of(cls, lines: Sequence[str]) -> "IfMatch":
        """Return the condition of a header that was sent in one or several lines.

        Raises:
            ValidationFailed: it is longer than anybody needs.
        """
        header = ",".join(lines)
        if len(header) > MAX_TAGS_LENGTH:
            message = f"String should have at most {MAX_TAGS_LENGTH} characters"
            raise ValidationFailed(details=[Detail("header.if-match", message)])
        return cls(header)

    def check(self, current: msgspec.Struct | None) -> None:
        """Compare with the resource as it is now, its row locked.

        Raises:
            PreconditionFailed: it has changed since, or is gone.
        """
        if current is None or not (
            self._any or etag_of(_encode(current)) in self._tags
        ):
            raise PreconditionFailed

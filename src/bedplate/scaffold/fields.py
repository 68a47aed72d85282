"""The fields of a module, in the syntax of the command line.

number:str:unique total:decimal(10,2) customer:ref(users) notes:text? paid:bool=false

    field  = name ":" type ["?"] {":unique" | ":index"} ["=" default]
    type   = one of `field_types.KINDS`, some with arguments, as in `enum(draft,sent)`
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from bedplate.scaffold.field_types import Kind, make_kind
from bedplate.scaffold.plan import ScaffoldError

FLAGS = ("unique", "index")
UNINDEXED = ("text", "json")


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field, as given on the command line."""

    name: str
    kind: Kind
    refers_to: str | None
    is_optional: bool
    flags: frozenset[str]
    default: Any = None
    """As JSON; None without a default."""

    @property
    def column_name(self) -> str:
        return f"{self.name}_id" if self.refers_to else self.name

    @property
    def python(self) -> str:
        """The annotation of the column and of the response."""
        return f"{self.kind.python} | None" if self.is_optional else self.kind.python

    @property
    def is_unique(self) -> bool:
        return "unique" in self.flags

    @property
    def has_default(self) -> bool:
        return self.default is not None

    @property
    def is_required(self) -> bool:
        return not self.is_optional and not self.has_default

    @property
    def is_sortable(self) -> bool:
        """Whether the list can be sorted by it: an index of its own serves that."""
        return self.kind.sortable and not self.is_optional and bool(self.flags)


def parse_fields(arguments: Sequence[str]) -> list[FieldSpec]:
    """Parse the fields of a command line. One argument may hold several.

    Raises:
        ScaffoldError: names the field, the column in it, and what was expected there.
    """
    texts = re.findall(r"(?:\([^()]*\)|\S)+", " ".join(arguments))
    fields = [parse_field(text) for text in texts]
    names = [field.column_name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise ScaffoldError(f"the field {name!r} is given twice")
    return fields


def parse_field(text: str) -> FieldSpec:
    """Parse one field.

    Raises:
        ScaffoldError: names the column in the text and what was expected there.
    """
    reader = _Reader(text)
    name = reader.take(r"[^:?=()\s]+", "a name")
    reader.take(":", "`:` and a type after the name")
    kind_name, arguments, kind = _read_kind(reader)
    is_optional = bool(reader.maybe(r"\?"))
    flags = set()
    while reader.maybe(":"):
        flags.add(reader.take("|".join(FLAGS), "`unique` or `index`"))
    default = _read_default(reader, kind) if reader.maybe("=") else None
    reader.end("`?`, `:unique`, `:index`, `=default` in this order, or the end")
    if is_optional and default is not None:
        raise ScaffoldError(f"{text!r}: use `?` or a default, not both")
    if "unique" in flags and (kind.numbered is None or default is not None):
        raise ScaffoldError(f"{text!r}: a field of this kind can't be unique")
    if flags and kind_name in UNINDEXED:
        raise ScaffoldError(f"{text!r}: a {kind_name} can't have an index")
    return FieldSpec(
        name=name,
        kind=kind,
        refers_to=arguments[0] if kind_name == "ref" else None,
        is_optional=is_optional,
        flags=frozenset(flags),
        default=default,
    )


def _read_kind(reader: "_Reader") -> tuple[str, list[str], Kind]:
    start = reader.position
    name = reader.maybe("[a-z]+")
    inside = reader.maybe(r"\([^()]*\)")
    arguments = [part.strip() for part in inside[1:-1].split(",")] if inside else []
    try:
        return name, arguments, make_kind(name, arguments)
    except ScaffoldError as error:
        reader.fail(str(error), start)


def _read_default(reader: "_Reader", kind: Kind) -> Any:
    start = reader.position
    text = reader.maybe(".*")
    if kind.read_default is None:
        reader.fail("no default, because this type has none", start - 1)
    try:
        return kind.read_default(text)
    except (KeyError, ValueError):
        reader.fail(f"a default, {kind.default_is}", start)


class _Reader:
    """Reads a text from left to right, and reports the column of an error."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def maybe(self, pattern: str) -> str:
        """Consume and return what matches here, or return an empty text."""
        match = re.compile(pattern).match(self._text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def take(self, pattern: str, expected: str) -> str:
        """Consume and return what matches here, or raise ScaffoldError."""
        return self.maybe(pattern) or self.fail(expected, self.position)

    def end(self, expected: str) -> None:
        """Raise ScaffoldError unless the whole text was read."""
        if self.position < len(self._text):
            self.fail(expected, self.position)

    def fail(self, expected: str, position: int) -> NoReturn:
        rest = self._text[position:]
        actual = f"but found {rest!r}" if rest else "but it ends there"
        raise ScaffoldError(
            f"{self._text!r}, column {position + 1}: expected {expected}, {actual}"
        )

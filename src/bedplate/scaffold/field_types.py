"""The types of fields, each with the source text that the templates write for it."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from bedplate.database.base import MOST_DIGITS
from bedplate.scaffold.plan import ScaffoldError

MOST_CHARACTERS = 1000
MOST_CHOICES = 50
_ROOM_FOR_NUMBERS = 12
_CHOICE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A field type, as source text for each place where the templates use it."""

    python: str
    """The annotation of the column and of the response."""
    column: str | None = None
    """The argument of `mapped_column`; None if the annotation is enough."""
    migrated: str
    """The type in the migration."""
    accepted: str | None = None
    """The annotation in request bodies; None if `python` is enough."""
    examples: tuple[Any, Any]
    """Two different values, as JSON."""
    refused: Sequence[str]
    """Invalid values, as Python source."""
    read_default: Callable[[str], Any] | None = None
    """Parses the text after `=` into the default, as JSON, or raises ValueError."""
    default_is: str = ""
    """Describes the accepted defaults in an error message."""
    numbered: str | None = None
    """Source of a value that differs for each `number`; None if never unique."""
    sortable: bool = False
    searchable: bool = False
    filtered: bool = False
    choices: Sequence[str] = field(default=())

    def literal(self, value: Any) -> str:
        """Return a default as Python source."""
        if self.python == "date":
            return "date({}, {}, {})".format(*map(int, value.split("-")))
        return f'Decimal("{value}")' if self.python == "Decimal" else repr(value)

    def server_default(self, value: Any) -> str:
        """Return a default as the argument of `server_default`."""
        if isinstance(value, bool):
            return f"{str(value).lower()}()"
        return repr(str(value))


def make_kind(name: str, arguments: Sequence[str]) -> Kind:
    """Return the type with this name and these arguments.

    Raises:
        ScaffoldError: the type is unknown, or its arguments are wrong.
    """
    if name not in KINDS:
        raise ScaffoldError(f"a type, one of {', '.join(KINDS)}")
    return KINDS[name](arguments)


def _string(arguments: Sequence[str]) -> Kind:
    size = _number("str(255)", arguments or ["255"], least=1, most=MOST_CHARACTERS)
    accepted = _text(str(size), "NO_CONTROLS")
    return Kind(
        python="str",
        column=f"String({size})",
        migrated=f"sa.String({size})",
        accepted=accepted,
        examples=("One"[:size], "Two"[:size]),
        refused=['""', f'"x" * {size + 1}', r'"a\tb"', "1"],
        read_default=_short_text(size),
        default_is=f"1 to {size} characters",
        numbered='f"One {number}"' if size >= _ROOM_FOR_NUMBERS else "str(number)",
        sortable=True,
        searchable=True,
    )


def _long_text(arguments: Sequence[str]) -> Kind:
    _no_arguments("text", arguments)
    return Kind(
        python="str",
        column="Text",
        migrated="sa.Text()",
        accepted=_text("100_000", "NO_NUL"),
        examples=("Some text", "Another text"),
        refused=['""', "1"],
        searchable=True,
    )


def _text(size: str, pattern: str) -> str:
    return (
        "Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, "
        f"max_length={size}, pattern={pattern})]"
    )


def _short_text(size: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not 1 <= len(text) <= size or not text.isprintable():
            raise ValueError
        return text

    return read


def _integer(name: str, bits: int, column: str | None) -> Callable[..., Kind]:
    most = 2 ** (bits - 1) - 1

    def read(text: str) -> int:
        if not -most <= (number := int(text)) <= most:
            raise ValueError
        return number

    def make(arguments: Sequence[str]) -> Kind:
        _no_arguments(name, arguments)
        return Kind(
            python="int",
            column=column,
            migrated=f"sa.{column or 'Integer'}()",
            accepted=f"Annotated[int, Field(ge=-2**{bits - 1}, le=2**{bits - 1} - 1)]",
            examples=(1, 2),
            refused=[f"2**{bits - 1}", '"one"', "1.5"],
            read_default=read,
            default_is=f"a whole number of {bits} bits",
            numbered="number",
            sortable=True,
        )

    return make


def _float(arguments: Sequence[str]) -> Kind:
    _no_arguments("float", arguments)
    return Kind(
        python="float",
        migrated="sa.Double()",
        accepted="Annotated[float, Field(ge=-1e100, le=1e100)]",
        examples=(1.5, 2.5),
        refused=['"one"', "1e200"],
        read_default=_finite,
        default_is="a number",
        sortable=True,
    )


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number


def _decimal(arguments: Sequence[str]) -> Kind:
    expected = f"decimal(10,2), with at most {MOST_DIGITS} digits"
    if len(arguments) != 2:  # noqa: PLR2004, all digits and those after the point
        raise ScaffoldError(expected)
    precision = _number(expected, arguments[:1], least=1, most=MOST_DIGITS)
    scale = _number(expected, arguments[1:], least=0, most=precision)
    most = Decimal(10**precision - 1).scaleb(-scale)

    def read(text: str) -> str:
        if not re.fullmatch(r"-?\d+(\.\d+)?", text) or abs(Decimal(text)) > most:
            raise ValueError
        return str(Decimal(text).quantize(Decimal(1).scaleb(-scale)))

    digits = f"{precision}, {scale}"
    return Kind(
        python="Decimal",
        column=f"ExactDecimal({digits})",
        migrated=f"ExactDecimal({digits})",
        accepted=f"Annotated[Decimal, Digits({digits})]",
        examples=(f"{Decimal(1).scaleb(-scale):f}", f"{Decimal(2).scaleb(-scale):f}"),
        refused=['"one"', f'"{most + 1}"', f'"{Decimal(1).scaleb(-scale - 1):f}"'],
        read_default=read,
        default_is=f"a number up to {most}",
        sortable=True,
    )


def _boolean(arguments: Sequence[str]) -> Kind:
    _no_arguments("bool", arguments)
    return Kind(
        python="bool",
        migrated="sa.Boolean()",
        examples=(False, True),
        refused=['"maybe"'],
        read_default={"true": True, "false": False}.__getitem__,
        default_is="true or false",
        filtered=True,
    )


def _date(arguments: Sequence[str]) -> Kind:
    _no_arguments("date", arguments)
    return Kind(
        python="date",
        migrated="sa.Date()",
        examples=("2026-01-31", "2026-02-28"),
        refused=['"2026-02-30"', '"soon"'],
        read_default=lambda text: date.fromisoformat(text).isoformat(),
        default_is="a date as 2026-01-31",
        numbered="str(date.fromordinal(number))",
        sortable=True,
    )


def _instant(arguments: Sequence[str]) -> Kind:
    _no_arguments("datetime", arguments)
    return Kind(
        python="datetime",
        migrated="UTCDateTime()",
        accepted="Instant",
        examples=("2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
        refused=['"2026-01-31T10:00:00"', '"soon"'],
        numbered='f"2026-01-01T00:00:00.{number:06d}Z"',
        sortable=True,
    )


def _uuid(arguments: Sequence[str]) -> Kind:
    _no_arguments("uuid", arguments)
    return Kind(
        python="UUID",
        migrated="sa.Uuid()",
        examples=(
            "01999999-9999-7999-8999-999999999999",
            "01999999-9999-7999-8999-99999999999a",
        ),
        refused=['"one"'],
        numbered="str(uuid4())",
        filtered=True,
    )


def _json(arguments: Sequence[str]) -> Kind:
    _no_arguments("json", arguments)
    return Kind(
        python="dict[str, Any]",
        migrated="Json",
        accepted="JsonObject",
        examples=({"a": 1}, {"b": [2]}),
        refused=['"one"', "[1]"],
    )


def _enum(arguments: Sequence[str]) -> Kind:
    names = list(dict.fromkeys(arguments))
    named = len(names) == len(arguments) and all(map(_CHOICE.fullmatch, names))
    if not named or not 1 < len(names) <= MOST_CHOICES:
        raise ScaffoldError("enum(draft,sent,paid): at least two names of a-z, 0-9, _")
    size = max(map(len, names))
    return Kind(
        python="str",
        column=f"String({size})",
        migrated=f"sa.String({size})",
        accepted=f"Literal[{', '.join(map(json.dumps, names))}]",
        examples=(names[0], names[1]),
        refused=['"another"', '""'],
        read_default=lambda text: names[names.index(text)],
        default_is=f"one of {', '.join(names)}",
        filtered=True,
        choices=names,
    )


def _reference(arguments: Sequence[str]) -> Kind:
    if len(arguments) != 1:
        raise ScaffoldError("ref(users), with one table")
    return Kind(
        python="UUID",
        migrated="sa.Uuid()",
        examples=(None, None),  # the factory creates the rows
        refused=['"one"'],
        numbered="",  # may be unique: the factory creates a new row each time
        filtered=True,
    )


KINDS: dict[str, Callable[[Sequence[str]], Kind]] = {
    "str": _string,
    "text": _long_text,
    "int": _integer("int", 32, None),
    "bigint": _integer("bigint", 64, "BigInteger"),
    "float": _float,
    "decimal": _decimal,
    "bool": _boolean,
    "date": _date,
    "datetime": _instant,
    "uuid": _uuid,
    "json": _json,
    "enum": _enum,
    "ref": _reference,
}


def _no_arguments(name: str, arguments: Sequence[str]) -> None:
    if arguments:
        raise ScaffoldError(f"`{name}` without brackets")


def _number(expected: str, arguments: Sequence[str], *, least: int, most: int) -> int:
    text = arguments[0] if len(arguments) == 1 else ""
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ScaffoldError(f"{expected}: {least} to {most}")
    return int(text)

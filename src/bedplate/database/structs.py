"""Builds the struct of a row, nested to any depth, from the values of its columns."""

import types
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import Parameter, signature
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from uuid import UUID

import msgspec
import sqlalchemy as sa

R = TypeVar("R", bound=msgspec.Struct)


class _Leaf(NamedTuple):
    """A field that one column fills."""

    column: str
    type: Any
    argument: str
    """How the constructor takes it: `name=` if by keyword only, otherwise empty."""


class _Node(NamedTuple):
    """A struct, with its fields in the order of its constructor."""

    struct: Any
    parts: "tuple[_Leaf | _Node, ...]"
    argument: str
    is_optional: bool

    @property
    def leaves(self) -> Iterator[_Leaf]:
        for part in self.parts:
            if isinstance(part, _Leaf):
                yield part
            else:
                yield from part.leaves

    @property
    def has_required_leaf(self) -> bool:
        """Whether some column is never NULL where the struct is present."""
        return any(
            not _admits_none(part.type)
            if isinstance(part, _Leaf)
            else not part.is_optional and part.has_required_leaf
            for part in self.parts
        )


def row_builder(
    row: type[R], columns: Sequence[sa.ColumnElement[Any]]
) -> Callable[[Sequence[Any]], R]:
    """Return a function that builds a struct from a row's values.

    Raises:
        TypeError: the columns don't fit the struct by name, order, number or type.
    """
    node = _describe(row)
    _check_names(node, [column.key for column in columns])
    for leaf, column in zip(node.leaves, columns, strict=True):
        _check_type(row, leaf, column)
    if all(isinstance(part, _Leaf) and not part.argument for part in node.parts):
        return lambda values: row(*values)
    return _compile(node)


def _describe(
    struct: Any,
    prefix: str = "",
    argument: str = "",
    *,
    is_optional: bool = False,
    parents: tuple[Any, ...] = (),
) -> _Node:
    if struct in parents:
        raise TypeError(f"{_name(struct)} contains itself, so no row can fill it")
    parents = (*parents, struct)
    parts = tuple(_parts(struct, prefix, parents))
    node = _Node(get_origin(struct) or struct, parts, argument, is_optional)
    if is_optional and not node.has_required_leaf:
        raise TypeError(
            f"every field of {_name(struct)} may be None, so a missing "
            f"{prefix.removesuffix('_')!r} looks like a present one without values: "
            "add a field that is never None, such as the id"
        )
    return node


def _parts(
    struct: Any, prefix: str, parents: tuple[Any, ...]
) -> "Iterator[_Leaf | _Node]":
    by_keyword = _keyword_only(get_origin(struct) or struct)
    for field in msgspec.structs.fields(struct):
        path = f"{prefix}{field.name}"
        argument = f"{field.name}=" if field.name in by_keyword else ""
        kinds = list(_alternatives(field.type))
        nested = [kind for kind in kinds if _is_struct(kind)]
        if not nested:
            yield _Leaf(path, field.type, argument)
            continue
        optional = _admits_none(field.type)
        if len(kinds) - optional != 1:
            raise TypeError(
                f"{_name(struct)}.{field.name} may be one of several types, and a row "
                "doesn't say which: declare one struct"
            )
        yield _describe(
            nested[0], f"{path}_", argument, is_optional=optional, parents=parents
        )


def _keyword_only(struct: Any) -> set[str]:
    parameters = signature(struct).parameters.values()
    return {p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY}


def _name(struct: Any) -> str:
    return str(getattr(struct, "__name__", struct))


def _is_struct(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def nested_struct(annotation: Any) -> Any:
    """Return the struct that a field's type is, optional or not; None if it is none."""
    return next((k for k in _alternatives(annotation) if _is_struct(k)), None)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, without `Annotated`, `NewType` and aliases."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif isinstance(annotation, NewType):
        yield from _alternatives(annotation.__supertype__)
    elif hasattr(annotation, "__value__"):  # `type Name = …` of Python 3.12
        yield from _alternatives(annotation.__value__)
    else:
        yield annotation


def _admits_none(annotation: Any) -> bool:
    return any(kind in (None, type(None), Any) for kind in _alternatives(annotation))


def _check_names(node: _Node, columns: Sequence[str | None]) -> None:
    expected = [leaf.column for leaf in node.leaves]
    if list(columns) != expected:
        name = _name(node.struct)
        raise TypeError(f"{name} wants columns {expected}, not {list(columns)}")


# Where both sides are one of these, a value of one is never one of another.
_SCALARS = frozenset(
    {bool, bytes, date, datetime, Decimal, float, int, str, time, timedelta, UUID}
)


def _check_type(row: Any, leaf: _Leaf, column: sa.ColumnElement[Any]) -> None:
    holds = _python_type(column)
    takes = list(_values(leaf.type))
    if holds is None or not all(_is_known(kind) for kind in takes):
        return
    if not any(_fits(holds, kind) for kind in takes):
        wanted = " or ".join(kind.__name__ for kind in takes)
        raise TypeError(
            f"{_name(row)} takes {wanted} for {leaf.column!r}, but its column holds "
            f"{holds.__name__}: select another column, or change the field's type"
        )


def _python_type(column: sa.ColumnElement[Any]) -> type | None:
    """Return what SQLAlchemy promises of a column, if it is a type that we compare."""
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return None
    return kind if _is_known(kind) else None


def _values(annotation: Any) -> Iterator[Any]:
    for kind in _alternatives(annotation):
        if get_origin(kind) is Literal:
            yield from {type(value) for value in get_args(kind)}
        elif kind not in (None, type(None)):
            yield kind


def _is_known(kind: Any) -> bool:
    return kind in _SCALARS or (isinstance(kind, type) and issubclass(kind, Enum))


def _fits(holds: type, takes: type) -> bool:
    if holds is takes or (holds is int and takes is float):
        return True
    # A column may hold an enumeration's plain values, and `StrEnum` is a `str`.
    if issubclass(takes, Enum):
        return issubclass(takes, holds)
    return issubclass(holds, Enum) and issubclass(holds, takes)


def _compile(node: _Node) -> Callable[[Sequence[Any]], Any]:
    """Write the function's source, as `namedtuple` does: a closure takes twice as long.

    def build(values):
        v0, v1, v2, = values
        return Post(v0, None if v1 is None and v2 is None else Author(v1, v2))
    """
    names = [f"v{number}" for number, _ in enumerate(node.leaves)]
    structs: dict[str, Any] = {}
    built = _expression(node, iter(names), structs)
    source = f"def build(values):\n    {', '.join(names)}, = values\n    return {built}"
    # The text holds numbers and names of fields; everything else comes by `structs`.
    exec(source, structs)  # noqa: S102
    build: Callable[[Sequence[Any]], Any] = structs["build"]
    return build


def _expression(node: _Node, names: Iterator[str], structs: dict[str, Any]) -> str:
    """Return the constructor's call, taking the names of the values that it needs."""
    used: list[str] = []

    def noted() -> Iterator[str]:
        for name in names:
            used.append(name)
            yield name

    own = noted()
    arguments = [
        part.argument
        + (next(own) if isinstance(part, _Leaf) else _expression(part, own, structs))
        for part in node.parts
    ]
    name = f"struct{len(structs)}"
    structs[name] = node.struct
    call = f"{name}({', '.join(arguments)})"
    if not node.is_optional:
        return call
    absent = " and ".join(f"{value} is None" for value in used)
    return f"(None if {absent} else {call})"

"""Builds the struct for a row, nested to any depth, from the values of its columns."""

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
    """`name=` if the constructor takes it by keyword only, otherwise empty."""


class _Node(NamedTuple):
    """A struct with its fields, in the order of its constructor's parameters."""

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
        """True if some column is never NULL when the struct exists."""
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
        TypeError: the columns don't match the struct in name, order, number or type.
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
            f"{prefix.removesuffix('_')!r} looks like an existing one without values: "
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
        types_ = list(_alternatives(field.type))
        nested = [type_ for type_ in types_ if _is_struct(type_)]
        if not nested:
            yield _Leaf(path, field.type, argument)
            continue
        optional = _admits_none(field.type)
        if len(types_) - optional != 1:
            raise TypeError(
                f"{_name(struct)}.{field.name} may be one of several types, and a row "
                "doesn't show which: declare one struct"
            )
        yield _describe(
            nested[0], f"{path}_", argument, is_optional=optional, parents=parents
        )


def _keyword_only(struct: Any) -> set[str]:
    parameters = signature(struct).parameters.values()
    return {p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY}


def _name(struct: Any) -> str:
    return str(getattr(struct, "__name__", struct))


def _is_struct(type_: Any) -> bool:
    type_ = get_origin(type_) or type_
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def nested_struct(annotation: Any) -> Any:
    """Return the struct in a field's type, optional or not; None for other types."""
    return next((t for t in _alternatives(annotation) if _is_struct(t)), None)


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
    return any(type_ in (None, type(None), Any) for type_ in _alternatives(annotation))


def _check_names(node: _Node, columns: Sequence[str | None]) -> None:
    expected = [leaf.column for leaf in node.leaves]
    if list(columns) != expected:
        name = _name(node.struct)
        raise TypeError(f"{name} needs columns {expected}, not {list(columns)}")


# Only types in this set are compared: a value of one is never a value of another.
_SCALARS = frozenset(
    {bool, bytes, date, datetime, Decimal, float, int, str, time, timedelta, UUID}
)


def _check_type(row: Any, leaf: _Leaf, column: sa.ColumnElement[Any]) -> None:
    column_type = _python_type(column)
    field_types = list(_value_types(leaf.type))
    if column_type is None or not all(map(_is_comparable, field_types)):
        return
    if not any(_fits(column_type, field_type) for field_type in field_types):
        names = " or ".join(field_type.__name__ for field_type in field_types)
        raise TypeError(
            f"{_name(row)} takes {names} for {leaf.column!r}, but its column holds "
            f"{column_type.__name__}: select another column, or change the field's type"
        )


def _python_type(column: sa.ColumnElement[Any]) -> type | None:
    """Return the Python type of a column, if it is one that we compare."""
    try:
        type_ = column.type.python_type
    except NotImplementedError:
        return None
    return type_ if _is_comparable(type_) else None


def _value_types(annotation: Any) -> Iterator[Any]:
    for type_ in _alternatives(annotation):
        if get_origin(type_) is Literal:
            yield from {type(value) for value in get_args(type_)}
        elif type_ not in (None, type(None)):
            yield type_


def _is_comparable(type_: Any) -> bool:
    return type_ in _SCALARS or (isinstance(type_, type) and issubclass(type_, Enum))


def _fits(column_type: type, field_type: type) -> bool:
    if column_type is field_type or (column_type is int and field_type is float):
        return True
    # A column may hold an enumeration's plain values, and `StrEnum` is a `str`.
    if issubclass(field_type, Enum):
        return issubclass(field_type, column_type)
    return issubclass(column_type, Enum) and issubclass(column_type, field_type)


def _compile(node: _Node) -> Callable[[Sequence[Any]], Any]:
    """Generate the function's source, like `namedtuple`. A closure is half as fast.

    def build(values):
        v0, v1, v2, = values
        return Post(v0, None if v1 is None and v2 is None else Author(v1, v2))
    """
    names = [f"v{number}" for number, _ in enumerate(node.leaves)]
    structs: dict[str, Any] = {}
    result = _expression(node, iter(names), structs)
    source = (
        f"def build(values):\n    {', '.join(names)}, = values\n    return {result}"
    )
    # Safe: the source contains only numbers and names of fields. Everything else is
    # passed in `structs`.
    exec(source, structs)  # noqa: S102
    build: Callable[[Sequence[Any]], Any] = structs["build"]
    return build


def _expression(node: _Node, names: Iterator[str], structs: dict[str, Any]) -> str:
    """Return the call of the constructor, consuming the names of its values."""
    used: list[str] = []

    def record() -> Iterator[str]:
        for name in names:
            used.append(name)
            yield name

    recorded = record()
    arguments = [
        part.argument
        + (
            next(recorded)
            if isinstance(part, _Leaf)
            else _expression(part, recorded, structs)
        )
        for part in node.parts
    ]
    name = f"struct{len(structs)}"
    structs[name] = node.struct
    call = f"{name}({', '.join(arguments)})"
    if not node.is_optional:
        return call
    absent = " and ".join(f"{value} is None" for value in used)
    return f"(None if {absent} else {call})"

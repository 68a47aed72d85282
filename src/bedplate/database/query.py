"""The read path: statements compiled once, run on the driver, giving plain rows.

An ORM query costs some 1,500 µs of Python, the driver's own call some 80. So a hot
read is a `Query`: SQLAlchemy writes the SQL (once a dialect), the driver runs it on a
connection from SQLAlchemy's own pool, and each row becomes the struct that the
response declares. Repositories don't see which driver that is.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

R = TypeVar("R", bound=msgspec.Struct)
Processor = Callable[[Any], Any]


class CompiledQuery(NamedTuple):
    """A statement as one driver runs it."""

    sql: str
    parameters: tuple[tuple[str, Any, Processor | None], ...]
    columns: tuple[Processor | None, ...] | None  # None: as the driver gives them

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order of the SQL, each as the driver wants it.

        Raises:
            TypeError: a parameter is missing.
        """
        return [
            _bind(name, values.get(name, default), process)
            for name, default, process in self.parameters
        ]

    def values(self, row: Sequence[Any]) -> Sequence[Any]:
        """A driver's row as Python values, in the order of the columns."""
        if self.columns is None:
            return row
        return [
            value if process is None else process(value)
            for process, value in zip(self.columns, row, strict=True)
        ]


_MISSING: Any = object()
_OID = 1700  # of `numeric`: asyncpg's numbers are taken as they come, and no other asks


def _bind(name: str, value: Any, process: Processor | None) -> Any:
    if value is _MISSING:
        raise TypeError(f"the query's parameter {name!r} is missing")
    return value if process is None else process(value)


class Statement:
    """A SELECT or INSERT that is compiled once for each dialect that it meets."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]] | sa.Insert) -> None:
        self.statement = statement
        self._compiled: dict[str, CompiledQuery] = {}

    def compiled_for(self, dialect: sa.Dialect) -> CompiledQuery:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _compile(self.statement, dialect)
            self._compiled[dialect.name] = compiled
        return compiled


class Query(Statement, Generic[R]):
    """A SELECT whose rows are `row` structs.

    FIND_USER = Query(
        select(*USER_COLUMNS).where(User.id == bindparam("user_id")), UserResponse
    )

    The columns stand in the order of the struct's fields; a field that is itself a
    struct takes as many columns as it has fields.

    Raises:
        TypeError: names and number of the columns don't fit the struct.
    """

    def __init__(self, statement: sa.Select[*tuple[Any, ...]], row: type[R]) -> None:
        super().__init__(statement)
        self.row = row
        self.build = row_builder(row, [c.key for c in statement.selected_columns])


def row_builder(
    row: type[R], columns: Sequence[str | None]
) -> Callable[[Sequence[Any]], R]:
    """A function from a driver's row to a struct.

    Raises:
        TypeError: the columns are not those of the struct.
    """
    expected = list(_leaf_names(row))
    if list(columns) != expected:
        raise TypeError(f"{row.__name__} wants columns {expected}, not {columns}")
    nested = _nested_fields(row)
    if not nested:
        return lambda values: row(*values)
    return lambda values: _build_nested(row, nested, values)


def _leaf_names(row: type[msgspec.Struct], prefix: str = "") -> Sequence[str]:
    names: list[str] = []
    for field in msgspec.structs.fields(row):
        if _is_struct(field.type):
            names += _leaf_names(field.type, f"{prefix}{field.name}_")
        else:
            names.append(prefix + field.name)
    return names


def _nested_fields(row: type[msgspec.Struct]) -> dict[int, type[msgspec.Struct]]:
    fields = msgspec.structs.fields(row)
    return {i: f.type for i, f in enumerate(fields) if _is_struct(f.type)}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _build_nested(
    row: type[R], nested: dict[int, type[msgspec.Struct]], values: Sequence[Any]
) -> R:
    arguments: list[Any] = []
    position = 0
    for index in range(len(row.__struct_fields__)):
        kind = nested.get(index)
        width = len(kind.__struct_fields__) if kind else 1
        part = values[position : position + width]
        arguments.append(kind(*part) if kind else part[0])
        position += width
    return row(*arguments)


def _compile(
    statement: sa.Select[*tuple[Any, ...]] | sa.Insert, dialect: sa.Dialect
) -> CompiledQuery:
    compiled = statement.compile(dialect=dialect)
    binds = compiled.binds
    parameters = tuple(
        (
            name,
            _MISSING if binds[name].required else binds[name].effective_value,
            binds[name].type.dialect_impl(dialect).bind_processor(dialect),
        )
        for name in compiled.positiontup or ()
    )
    columns = tuple(
        column.type.dialect_impl(dialect).result_processor(dialect, _OID)
        for column in _selected(statement)
    )
    return CompiledQuery(str(compiled), parameters, columns if any(columns) else None)


def _selected(
    statement: sa.Select[*tuple[Any, ...]] | sa.Insert,
) -> Sequence[sa.ColumnElement[Any]]:
    return list(statement.selected_columns) if isinstance(statement, sa.Select) else []

"""The read path: statements compiled once, run on the driver, giving plain rows.

An ORM query costs some 1,500 µs of Python, the driver's own call some 80. So a hot
read is a `Query`: SQLAlchemy writes the SQL (once a dialect), the driver runs it on a
connection from SQLAlchemy's own pool, and each row becomes the struct that the
response declares. Repositories don't see which driver that is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.exc import CompileError
from sqlalchemy.sql.compiler import SQLCompiler

from bedplate.database.compilers import Processor, check_parameters, compile_for
from bedplate.database.structs import R, row_builder

__all__ = [
    "CompiledQuery",
    "Query",
    "R",
    "Statement",
    "ValueQuery",
    "compile_declared",
]

V = TypeVar("V")

Parameters = tuple[tuple[str, Any, Processor | None], ...]
"""Name, default and bind processor of each, in the order of the SQL."""
Selection = sa.Select[*tuple[Any, ...]] | sa.CompoundSelect[*tuple[Any, ...]]


class CompiledQuery(NamedTuple):
    """A statement as one driver runs it."""

    sql: str
    parameters: Parameters
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


def _bind(name: str, value: Any, process: Processor | None) -> Any:
    if value is _MISSING:
        raise TypeError(f"the query's parameter {name!r} is missing")
    return value if process is None else process(value)


class Statement:
    """A SELECT or INSERT that is compiled once for each dialect that it meets.

    Raises:
        TypeError: a parameter can't be compiled without its value.
    """

    def __init__(self, statement: Selection | sa.Insert, name: str = "") -> None:
        check_parameters(statement)
        self.statement = statement
        self.name = name or type(self).__name__
        self._compiled: dict[str, CompiledQuery] = {}
        self.checked: set[str] = set()
        """The dialects that `compile_declared` has found SQL for."""
        _declared.add(self)

    def compiled_for(self, dialect: sa.Dialect) -> CompiledQuery:
        """Return its SQL for a dialect.

        Raises:
            TypeError: it has none.
        """
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _compile(self, dialect)
            self._compiled[dialect.name] = compiled
        return compiled


_declared: WeakSet[Statement] = WeakSet()


class Query(Statement, Generic[R]):
    """A SELECT whose rows are `row` structs.

    FIND_USER = Query(
        select(*USER_COLUMNS).where(User.id == bindparam("user_id")), UserResponse
    )

    The columns stand in the order of the struct's fields. A field that is itself a
    struct, nested to any depth, takes its columns in its place: `author: Author` those
    of `author_id` and `author_name`. `author: Author | None` is None where all of its
    columns are NULL, as an outer join makes them; a field that is never None, such as
    its id, tells a present author from a missing one.

    `column.in_(bindparam("ids"))` takes a list of any length with each call.

    Raises:
        TypeError: the columns don't fit the struct by name, order, number or type, or
            a parameter can't be compiled without its value.
    """

    def __init__(self, statement: Selection, row: type[R]) -> None:
        super().__init__(statement, f"Query of {row.__name__}")
        self.row = row
        self.build = row_builder(row, list(statement.selected_columns))


class ValueQuery(Statement, Generic[V]):
    """A SELECT of one column, for `session.fetch_value` and `fetch_values`.

    FIND_ROLE = ValueQuery(select(User.role).where(User.id == bindparam("user_id")))

    Raises:
        TypeError: a parameter can't be compiled without its value.
    """

    def __init__(self, statement: sa.Select[V]) -> None:
        super().__init__(statement, f"ValueQuery of {statement.selected_columns[0]}")


def compile_declared(dialect: sa.Dialect) -> None:
    """Check that all statements that were declared so far have SQL.

    Not when they are declared: that would make SQLAlchemy look for models whose modules
    are yet to be imported.

    Raises:
        TypeError: a statement has no SQL for this database.
    """
    for statement in list(_declared):
        # Compiled to check only: SQL may depend on the server's version, as a search's
        # collation does, and that is known only once there is a connection.
        if dialect.name not in statement.checked:
            _compile(statement, dialect)
            statement.checked.add(dialect.name)


def _compile(declared: Statement, dialect: sa.Dialect) -> CompiledQuery:
    try:
        compiled = compile_for(dialect, declared.statement)
    except CompileError as error:
        raise TypeError(
            f"{declared.name} has no SQL for {dialect.name}: {error}. Use "
            "session.execute() for a statement that only one database knows"
        ) from error
    sql, parameters = _expanded(compiled)
    columns = tuple(
        column.type.dialect_impl(dialect).result_processor(dialect, _oid(column.type))
        for column in _selected(declared, compiled)
    )
    return CompiledQuery(sql, parameters, columns if any(columns) else None)


def _expanded(compiled: SQLCompiler) -> tuple[str, Parameters]:
    """Return the SQL with the statement's own lists and literals, and its parameters.

    The list of `in_([1, 2])` and the separator of `aggregate_strings` are part of the
    statement, and SQLAlchemy writes them after compiling.
    """
    missing = {bind.key: None for bind in compiled.bind_names if bind.required}
    state = compiled.construct_expanded_state(missing)
    # Private, but what SQLAlchemy itself runs; `state` has only those it added.
    processors: dict[str, Any] = {**compiled._bind_processors, **state.processors}  # noqa: SLF001
    parameters = tuple(
        (name, _default(compiled, name, state.parameters), processors.get(name))
        for name in state.positiontup or ()
    )
    return state.statement, parameters


def _default(compiled: SQLCompiler, name: str, own: Mapping[str, Any]) -> Any:
    bind = compiled.binds.get(name)
    if bind is None:
        return own[name]
    return _MISSING if bind.required else bind.value


def _selected(
    declared: Statement, compiled: SQLCompiler
) -> Sequence[sa.ColumnElement[Any]]:
    """Return the columns of the rows.

    Raises:
        TypeError: the SQL has others, as that of a model with deferred columns.
    """
    if isinstance(declared.statement, sa.Insert):
        return []
    columns = list(declared.statement.selected_columns)
    written = len(compiled._result_columns)  # noqa: SLF001, no public count of them
    if written != len(columns):
        raise TypeError(
            f"{declared.name} declares {len(columns)} columns and its SQL has "
            f"{written}: select columns instead of a model"
        )
    return columns


def _oid(kind: sa.types.TypeEngine[Any]) -> int:
    """Return the PostgreSQL type that a column is taken for: `float8` or `numeric`.

    Only asyncpg's numbers ask for it, to make decimals of floats and the reverse.
    """
    return 701 if isinstance(kind, sa.Float) and kind.asdecimal else 1700

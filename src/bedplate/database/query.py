"""The read path: statements that are compiled once and run directly on the driver.

An ORM query takes about 1,500 µs of Python, a call of the driver about 80. So a
frequent read is a `Query`: SQLAlchemy compiles the SQL once per dialect, the driver
runs it on a connection from SQLAlchemy's pool, and each row becomes the struct of the
response. Repositories don't depend on the driver.
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
"""The name, default and bind processor of each parameter, in the order of the SQL."""
Selection = sa.Select[*tuple[Any, ...]] | sa.CompoundSelect[*tuple[Any, ...]]


class CompiledQuery(NamedTuple):
    """A statement compiled for one driver."""

    sql: str
    parameters: Parameters
    # The result processors of the columns, or None if no column has one.
    columns: tuple[Processor | None, ...] | None

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """Return the values in the order of the SQL, converted for the driver.

        Raises:
            TypeError: a parameter is missing.
        """
        return [
            _bind(name, values.get(name, default), process)
            for name, default, process in self.parameters
        ]

    def values(self, row: Sequence[Any]) -> Sequence[Any]:
        """Convert a driver's row to Python values, in the order of the columns."""
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
    """A SELECT or INSERT that is compiled once per dialect, when it is first used.

    Raises:
        TypeError: a parameter can't be compiled without its value.
    """

    def __init__(self, statement: Selection | sa.Insert, name: str = "") -> None:
        check_parameters(statement)
        self.statement = statement
        self.name = name or type(self).__name__
        self._compiled: dict[str, CompiledQuery] = {}
        self.checked: set[str] = set()
        """Names of the dialects for which `compile_declared` checked it."""
        _declared.add(self)

    def compiled_for(self, dialect: sa.Dialect) -> CompiledQuery:
        """Return the statement compiled for a dialect.

        Raises:
            TypeError: the dialect can't express it.
        """
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _compile(self, dialect)
            self._compiled[dialect.name] = compiled
        return compiled


_declared: WeakSet[Statement] = WeakSet()


class Query(Statement, Generic[R]):
    """A SELECT whose rows become `row` structs.

    FIND_USER = Query(
        select(*USER_COLUMNS).where(User.id == bindparam("user_id")), UserResponse
    )

    Select the columns in the order of the struct's fields. For a field that is a struct
    itself, to any depth, select the columns of its fields in its place: `author_id` and
    `author_name` for `author: Author`. `author: Author | None` is None if all of its
    columns are NULL, as in an outer join. Such a struct needs a field that is never
    None, such as the id, which shows that the author exists.

    `column.in_(bindparam("ids"))` takes a list of any length with each call.

    Raises:
        TypeError: the columns don't match the struct in name, order, number or type, or
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
    """Check that every statement declared so far compiles.

    Statements can't check this themselves when they are declared: SQLAlchemy would look
    for models whose modules are not imported yet.

    Raises:
        TypeError: the database can't express a statement.
    """
    for statement in list(_declared):
        # The result is dropped: the SQL may depend on the server's version, which is
        # unknown until there is a connection. A search's collation does.
        if dialect.name not in statement.checked:
            _compile(statement, dialect)
            statement.checked.add(dialect.name)


def _compile(declared: Statement, dialect: sa.Dialect) -> CompiledQuery:
    try:
        compiled = compile_for(dialect, declared.statement)
    except CompileError as error:
        raise TypeError(
            f"{declared.name} has no SQL for {dialect.name}: {error}. Use "
            "session.execute() for a statement that only one database supports"
        ) from error
    sql, parameters = _expand(compiled)
    columns = tuple(
        column.type.dialect_impl(dialect).result_processor(dialect, _oid(column.type))
        for column in _result_columns(declared, compiled)
    )
    return CompiledQuery(sql, parameters, columns if any(columns) else None)


def _expand(compiled: SQLCompiler) -> tuple[str, Parameters]:
    """Return the SQL with the statement's own lists and literals, and its parameters.

    SQLAlchemy inserts these after compiling. Examples are the list of `in_([1, 2])` and
    the separator of `aggregate_strings`.
    """
    missing = {bind.key: None for bind in compiled.bind_names if bind.required}
    state = compiled.construct_expanded_state(missing)
    # Private, but SQLAlchemy itself runs these. `state` has only the ones it added.
    processors: dict[str, Any] = {**compiled._bind_processors, **state.processors}  # noqa: SLF001
    parameters = tuple(
        (name, _default(compiled, name, state.parameters), processors.get(name))
        for name in state.positiontup or ()
    )
    return state.statement, parameters


def _default(compiled: SQLCompiler, name: str, expanded: Mapping[str, Any]) -> Any:
    bind = compiled.binds.get(name)
    if bind is None:
        return expanded[name]
    return _MISSING if bind.required else bind.value


def _result_columns(
    declared: Statement, compiled: SQLCompiler
) -> Sequence[sa.ColumnElement[Any]]:
    """Return the columns of the rows.

    Raises:
        TypeError: the SQL has different columns, as for a model with deferred ones.
    """
    if isinstance(declared.statement, sa.Insert):
        return []
    columns = list(declared.statement.selected_columns)
    count = len(compiled._result_columns)  # noqa: SLF001, no public name
    if count != len(columns):
        raise TypeError(
            f"{declared.name} declares {len(columns)} columns and its SQL has "
            f"{count}: select columns instead of a model"
        )
    return columns


def _oid(type_: sa.types.TypeEngine[Any]) -> int:
    """Return the number of the PostgreSQL type for a column: `float8` or `numeric`.

    Only SQLAlchemy's numeric types for asyncpg use it, to convert floats to decimals
    and back.
    """
    return 701 if isinstance(type_, sa.Float) and type_.asdecimal else 1700

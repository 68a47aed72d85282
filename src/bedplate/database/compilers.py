"""Compiles `IN` with a list parameter to SQL that doesn't depend on its length.

SQLAlchemy writes a placeholder for each value of `column.in_(bindparam("ids"))`, so the
SQL would change with the list's length. Here the list is one parameter, an array on
PostgreSQL and JSON on SQLite, so one prepared statement serves lists of any length.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler

Processor = Callable[[Any], Any]


class ListType(sa.types.UserDefinedType[list[Any]]):
    """The type of a list parameter, converted for each of the two drivers."""

    cache_ok = True

    def __init__(self, item: sa.types.TypeEngine[Any]) -> None:
        self.item = item

    def bind_processor(self, dialect: sa.Dialect) -> Processor:
        process = self.item.dialect_impl(dialect).bind_processor(dialect)
        convert = _to_json if dialect.name == "sqlite" else list

        def bind(values: Any) -> Any:
            _check_is_list(values)
            return convert(values if process is None else map(process, values))

        return bind


def _check_is_list(values: Any) -> None:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"a list parameter takes a list, not {type(values).__name__}")


def _to_json(values: Iterable[Any]) -> str:
    values = list(values)
    # SQLite's JSON functions end a text at NUL: 'admin\0…' would match 'admin'.
    if any(isinstance(value, str) and "\x00" in value for value in values):
        raise ValueError("a text in a list parameter must not contain NUL")
    return json.dumps(values)


def is_list_parameter(element: Any) -> bool:
    """Return whether an element is a list whose values are passed with each call.

    The list of `in_([1, 2])` has no name and is part of the statement.
    """
    return (
        isinstance(element, sa.BindParameter)
        and element.expanding
        and not element.unique
    )


class _ListCompiler(SQLCompiler):
    """Compiles `IN` and `NOT IN` with one parameter for the whole list."""

    in_list: str
    not_in_list: str

    def visit_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        if is_list_parameter(binary.right):
            return self._compare(binary, self.in_list, options)
        return self._generate_generic_binary(binary, " IN ", **options)

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        if is_list_parameter(binary.right):
            return self._compare(binary, self.not_in_list, options)
        return f"({self._generate_generic_binary(binary, ' NOT IN ', **options)})"

    def _compare(self, binary: Any, template: str, options: dict[str, Any]) -> str:
        values = sa.bindparam(
            binary.right.key,
            binary.right.value,
            type_=ListType(binary.right.type),
            required=binary.right.required,
        )
        column = binary.left.self_group(against=operators.eq)
        return template.format(
            column=self.process(column, **options), values=self.process(values)
        )


class _PostgresCompiler(_ListCompiler, PGCompiler_asyncpg):
    in_list = "{column} = ANY ({values})"
    not_in_list = "({column} != ALL ({values}))"


class _SqliteCompiler(_ListCompiler, SQLiteCompiler):
    in_list = "{column} IN (SELECT value FROM json_each({values}))"
    not_in_list = "({column} NOT IN (SELECT value FROM json_each({values})))"


def compile_for(dialect: sa.Dialect, statement: Any) -> SQLCompiler:
    """Compile a statement for PostgreSQL or SQLite. Each list is one parameter."""
    is_sqlite = dialect.name == "sqlite"
    compiler = _SqliteCompiler if is_sqlite else _PostgresCompiler
    return compiler(dialect, statement)


def check_parameters(statement: Any) -> None:
    """Check that no parameter changes the SQL when it gets its value.

    Raises:
        TypeError: one does. The message names it and what to use instead.
    """
    elements = list(visitors.iterate(statement))
    compared = {e.right for e in elements if _compares_list(e)}
    for element in elements:
        if isinstance(element, sa.BindParameter):
            _check_value(element)
            if is_list_parameter(element):
                _check_list(element, element in compared)


def _compares_list(element: Any) -> TypeGuard[sa.BinaryExpression[Any]]:
    return isinstance(element, sa.BinaryExpression) and element.operator in (
        operators.in_op,
        operators.not_in_op,
    )


def _check_value(parameter: sa.BindParameter[Any]) -> None:
    if parameter.callable is not None:
        raise TypeError(f"{_name(parameter)} has callable_: pass its value each time")
    if parameter.literal_execute and not parameter.unique:
        raise TypeError(f"{_name(parameter)} has literal_execute: leave it out")


def _name(parameter: sa.BindParameter[Any]) -> str:
    return f"the query's parameter {parameter.key!r}"


# Types that JSON can't represent, or not to the last digit.
_INEXACT = (sa.Numeric, sa.Float, sa.types._Binary)  # noqa: SLF001, all binary types' base


def _check_list(parameter: sa.BindParameter[Any], is_compared: bool) -> None:
    type_: Any = parameter.type
    # Private: for a TypeDecorator it is the affinity of its `impl`.
    affinity = type_._type_affinity or object  # noqa: SLF001
    if not is_compared:
        reason = "is a list outside of in_()"
    elif isinstance(type_, sa.types.TupleType):
        reason = "is a list of tuples"
    elif issubclass(affinity, _INEXACT):
        reason = "is a list of decimals, floats or bytes"
    elif type_._has_bind_expression:  # noqa: SLF001, no public name
        reason = "is a list of a type that writes SQL around each value"
    else:
        return
    raise TypeError(
        f"{_name(parameter)} {reason}: use session.execute() for this statement"
    )

"""Inserts of one row without the ORM's unit of work, compiled once per model."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from bedplate.database.base import Base
from bedplate.database.query import Statement


class Insert(NamedTuple):
    """A row to write: its statement and values."""

    statement: Statement
    values: dict[str, Any]


class _Column(NamedTuple):
    """A column, the attribute that fills it, and the default if that is not set."""

    name: str
    attribute: str
    default: Callable[[], Any]


class _Plan(NamedTuple):
    statement: Statement
    columns: list[_Column]


def insert_of(entity: Base) -> Insert:
    """Return the INSERT of an entity. Defaults are set on the entity too.

    Raises:
        TypeError: a column has neither a value nor a Python default.
    """
    plan, attributes = _plan(type(entity)), vars(entity)
    values: dict[str, Any] = {}
    for name, attribute, default in plan.columns:
        if attribute not in attributes:
            attributes[attribute] = default()
        values[name] = attributes[attribute]
    return Insert(plan.statement, values)


@cache
def _plan(model: type[Base]) -> _Plan:
    mapper: Mapper[Any] = sa.inspect(model)
    table: Any = model.__table__
    binds = {c.name: sa.bindparam(c.name, type_=c.type) for c in table.columns}
    columns = [
        _Column(p.columns[0].name, p.key, _default(p.columns[0]))
        for p in mapper.column_attrs
        if p.columns[0].name in binds
    ]
    return _Plan(Statement(sa.insert(table).values(binds)), columns)


def _default(column: Any) -> Callable[[], Any]:
    default = column.default
    if default is not None:
        return lambda: default.arg(None) if default.is_callable else default.arg

    def null() -> None:
        if not column.nullable:
            raise TypeError(f"{column} has no value")

    return null

"""A new row without the ORM's unit of work: its INSERT is compiled once a model."""

from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper

from bedplate.database.base import Base
from bedplate.database.query import Statement


class Insert(NamedTuple):
    """A row to be written."""

    statement: Statement
    values: dict[str, Any]


def insert_of(entity: Base) -> Insert:
    """The INSERT of an entity, whose defaults are set on it now.

    Raises:
        TypeError: a column has neither a value nor a default of Python's.
    """
    mapper: Mapper[Any] = sa.inspect(type(entity))
    values = {p.columns[0].name: _value(entity, p) for p in mapper.column_attrs}
    return Insert(_statement(type(entity)), values)


def _value(entity: Base, attribute: ColumnProperty[Any]) -> Any:
    column: Any = attribute.columns[0]
    known = vars(entity)
    if attribute.key in known:
        return known[attribute.key]
    if column.default is None:
        if not column.nullable:
            raise TypeError(f"{column} has no value")
        return None
    is_callable = column.default.is_callable
    value = column.default.arg(None) if is_callable else column.default.arg
    setattr(entity, attribute.key, value)
    return value


@cache
def _statement(model: type[Base]) -> Statement:
    table: Any = model.__table__
    binds = {c.name: sa.bindparam(c.name, type_=c.type) for c in table.columns}
    return Statement(sa.insert(table).values(binds))

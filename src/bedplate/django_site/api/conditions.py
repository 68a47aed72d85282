"""Translates SQLAlchemy conditions to Django's, so that a scope is declared once."""

from collections.abc import Mapping
from functools import reduce
from operator import and_, or_
from typing import Any

import sqlalchemy as sa
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from sqlalchemy.orm import DeclarativeBase, Mapper
from sqlalchemy.sql import operators

Mapped = type[DeclarativeBase]
Values = Mapping[str, Any]

EVERYTHING = Q()
NOTHING = Q(pk__in=())
_LOOKUPS: Mapping[Any, str] = {
    operators.eq: "exact",
    operators.lt: "lt",
    operators.le: "lte",
    operators.gt: "gt",
    operators.ge: "gte",
    operators.in_op: "in",
}
_JOINS: Mapping[Any, Any] = {operators.and_: and_, operators.or_: or_}


def path_of(mapped: Mapped, column: Any) -> str:
    """Return Django's name of a column, seen from a model: `title` or `author__name`.

    Raises:
        ImproperlyConfigured: no foreign key leads to its table, or several do.
    """
    column = getattr(column, "expression", column)
    mapper: Mapper[Any] = sa.inspect(mapped)
    if _is_of(column, mapper):
        return _key(mapper, column)
    related = [
        (relation, other)
        for relation, other in references(mapped).items()
        if _is_of(column, other)
    ]
    if len(related) != 1:
        raise ImproperlyConfigured(
            f"{mapped.__name__}: not exactly one foreign key leads to {column}"
        )
    relation, other = related[0]
    return f"{relation}__{_key(other, column)}"


def _is_of(column: Any, mapper: Mapper[Any]) -> bool:
    table: Any = mapper.local_table
    return bool(column.table.name == table.name)


def _key(mapper: Mapper[Any], column: Any) -> str:
    return mapper.get_property_by_column(mapper.local_table.c[column.name]).key


def references(mapped: Mapped) -> dict[str, Mapper[Any]]:
    """Return the relations of a model's foreign keys, and the mappers they lead to."""
    mapper: Mapper[Any] = sa.inspect(mapped)
    mappers = {other.local_table: other for other in mapper.registry.mappers}
    return {
        attribute.key.removesuffix("_id"): mappers[key.column.table]
        for attribute in mapper.column_attrs
        for key in attribute.columns[0].foreign_keys
    }


def to_q(mapped: Mapped, condition: Any, values: Values) -> Q:
    """Return the condition with these parameters.

    Raises:
        ImproperlyConfigured: no Django lookup matches it.
    """
    match condition:
        case sa.True_():
            return EVERYTHING
        case sa.False_():
            return NOTHING
        case sa.sql.elements.Grouping():
            return to_q(mapped, condition.element, values)
        case sa.sql.elements.BooleanClauseList() if condition.operator in _JOINS:
            parts = [to_q(mapped, clause, values) for clause in condition.clauses]
            return reduce(_JOINS[condition.operator], parts)
        case sa.BinaryExpression():
            return _comparison(mapped, condition, values)
    raise _unknown(condition)


def _unknown(condition: Any) -> ImproperlyConfigured:
    message = "no Django lookup matches this condition. Override get_queryset."
    return ImproperlyConfigured(f"{condition}: {message}")


def _comparison(mapped: Mapped, condition: Any, values: Values) -> Q:
    is_empty = {operators.is_: True, operators.is_not: False}.get(condition.operator)
    if is_empty is not None and isinstance(condition.right, sa.Null):
        return Q((f"{path_of(mapped, condition.left)}__isnull", is_empty))
    lookup = _LOOKUPS.get(condition.operator)
    if lookup is None or not isinstance(condition.right, sa.BindParameter):
        raise _unknown(condition)
    parameter = condition.right
    is_given = parameter.required
    value = values[parameter.key] if is_given else parameter.effective_value
    if value is None:
        return NOTHING  # in SQL nothing equals NULL; Django would search for it
    return Q((f"{path_of(mapped, condition.left)}__{lookup}", value))

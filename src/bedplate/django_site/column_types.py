"""The column types that Django can store.

Nothing here imports Django, so the check runs at start and not with the first request
for the admin site.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from bedplate.database import UTCDateTime
from bedplate.module import Module, ModuleError

# The first match counts; `Enum` is a `String`, `BigInteger` an `Integer`.
_KINDS: tuple[tuple[Any, str], ...] = (
    (UTCDateTime, "instant"),
    (sa.Enum, "enum"),
    (sa.String, "string"),  # and Text
    (sa.Uuid, "uuid"),
    (sa.Boolean, "boolean"),
    (sa.SmallInteger, "small integer"),
    (sa.BigInteger, "big integer"),
    (sa.Integer, "integer"),
    (sa.Float, "float"),
    (sa.Numeric, "decimal"),
    (sa.Date, "date"),
    (sa.JSON, "json"),
    (sa.TypeDecorator, "decorated"),
)


class UnknownColumnType(ModuleError):
    """No Django field stores a column's type in the same way.

    A guess would store values that SQLAlchemy can't read.
    """


def kind_of(type_: Any, column: sa.Column[Any]) -> str:
    """Return the kind of a column's type, or of the type inside its decorator.

    Raises:
        UnknownColumnType: names the column and its type.
    """
    kind = next((kind for types, kind in _KINDS if isinstance(type_, types)), None)
    if kind == "decorated":
        kind_of(type_.impl_instance, column)
    if kind == "decimal" and None in (type_.precision, type_.scale):
        kind = None  # Django requires both
    if kind is None:
        where = f"{column.table.name}.{column.name}"
        raise UnknownColumnType(f"{where}: no Django field stores a {column.type!r}")
    return kind


def check_columns(modules: Iterable[Module]) -> None:
    """Check that Django can store every column.

    Raises:
        UnknownColumnType: for the first column that it can't store.
    """
    for module in modules:
        for model in module.models:
            columns: Any = model.__table__.columns
            for column in columns:
                kind_of(column.type, column)

"""Which columns Django has a field for. Nothing here imports Django, so it is asked at
start, before anybody opens the admin site.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from bedplate.database import UTCDateTime
from bedplate.module import Module, ModuleError

# The first that fits; `Enum` is a `String`, `BigInteger` an `Integer`.
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
    """A column has a type that no Django field stores in the same way.

    To guess would store what the other side can't read.
    """


def kind_of(type_: Any, column: sa.Column[Any]) -> str:
    """What a type, of a column or inside its decorator, is to Django.

    Raises:
        UnknownColumnType: names the column and its type.
    """
    kind = next((kind for known, kind in _KINDS if isinstance(type_, known)), None)
    if kind == "decorated":
        kind_of(type_.impl_instance, column)
    if kind == "decimal" and None in (type_.precision, type_.scale):
        kind = None  # Django wants to know how many digits
    if kind is None:
        where = f"{column.table.name}.{column.name}"
        raise UnknownColumnType(f"{where}: no Django field stores a {column.type!r}")
    return kind


def check_columns(modules: Iterable[Module]) -> None:
    """Raises UnknownColumnType for the first column that Django has no field for."""
    for module in modules:
        for model in module.models:
            columns: Any = model.__table__.columns
            for column in columns:
                kind_of(column.type, column)

"""What every model is built on: names, column types, the moments of a row."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bedplate.core.clock import utc_now

# The same names on both databases: an error is found by its constraint's name.
NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


MOST_DIGITS = 15


class _SqliteDateTime(sqlite.DATETIME):
    """UTC as text, in the one form that Django writes too.

    Django leaves the fraction out when it is zero; a `>=` on text would miss its rows
    if we wrote `.000000`.
    """

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str | None]:
        return lambda value: None if value is None else str(value.replace(tzinfo=None))

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> Callable[[Any], datetime | None]:
        return lambda text: (
            None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
        )


class UTCDateTime(sa.TypeDecorator[datetime]):
    """An instant: `timestamptz` on PostgreSQL, UTC text on SQLite, aware in Python.

    Raises:
        ValueError: a naive datetime is to be stored or compared.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime  # a decorator's is `object` by default: cursors stayed text

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "sqlite":
            return _SqliteDateTime()  # type: ignore[no-untyped-call]  # SQLAlchemy's
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(
        self, value: datetime | None, dialect: sa.Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant must be aware; use utc_now()")
        return value.astimezone(UTC)


class _SqliteDecimal(sa.Numeric[Decimal]):
    """A double, which keeps 15 digits exactly; Django stores the same."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], float | None]:
        return lambda value: None if value is None else float(value)

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> Callable[[Any], Decimal | None]:
        scale = self.scale or 0
        return lambda value: None if value is None else Decimal(f"{value:.{scale}f}")


class ExactDecimal(sa.TypeDecorator[Decimal]):
    """A decimal of so many digits, so many of them after the point, on both databases.

    Raises:
        ValueError: more than 15 digits, the most that SQLite keeps exactly.
    """

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        if not 0 <= scale <= precision <= MOST_DIGITS:
            raise ValueError(f"a decimal has at most {MOST_DIGITS} digits")
        super().__init__(precision, scale)

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        impl: Any = self.impl
        kind = _SqliteDecimal if dialect.name == "sqlite" else sa.Numeric
        return dialect.type_descriptor(kind(impl.precision, impl.scale))

    def process_bind_param(
        self, value: Decimal | None, dialect: sa.Dialect
    ) -> Decimal | None:
        return value

    def process_result_value(
        self, value: Decimal | None, dialect: sa.Dialect
    ) -> Decimal | None:
        return value


# Django's JSONField wants jsonb, not json, and stores None as NULL.
Json = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)

# `mapped_column(info=SECRET)`: the admin site never reads the column.
SECRET: Final[dict[Any, Any]] = {"secret": True}


class Base(DeclarativeBase):
    """The one metadata: Alembic, Django's models and the constraint table read it."""

    metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {
        datetime: UTCDateTime(),
        UUID: sa.Uuid(),
        dict[str, Any]: Json,
    }


class TimestampMixin:
    """When a row was made and last changed."""

    created_at: Mapped[datetime] = mapped_column(
        default=utc_now, server_default=sa.func.now(), sort_order=900
    )
    updated_at: Mapped[datetime] = mapped_column(
        default=utc_now, onupdate=utc_now, server_default=sa.func.now(), sort_order=901
    )

"""Base of all models: constraint names, column types and timestamps."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bedplate.core.clock import utc_now

# Constraints have the same names on both databases: a name selects the API error.
NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


MOST_DIGITS = 15


class _SqliteDateTime(sqlite.DATETIME):
    """UTC as text, in the same form as Django's.

    Django omits the fraction if it is zero. If we wrote `.000000`, a `>=` on the text
    would miss Django's rows.
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
        ValueError: the datetime to store or compare is naive.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime  # the default is `object`, and cursors would stay text

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
            raise ValueError("the datetime has no time zone: use utc_now()")
        return value.astimezone(UTC)


class _SqliteDecimal(sa.Numeric[Decimal]):
    """A double, which is exact to 15 digits. Django stores decimals in the same way."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], float | None]:
        return lambda value: None if value is None else float(value)

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> Callable[[Any], Decimal | None]:
        scale = self.scale or 0
        return lambda value: None if value is None else Decimal(f"{value:.{scale}f}")


class ExactDecimal(sa.TypeDecorator[Decimal]):
    """A decimal with a number of digits and of decimal places, on both databases.

    Raises:
        ValueError: more than 15 digits, the most that SQLite stores exactly.
    """

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        if not 0 <= scale <= precision <= MOST_DIGITS:
            raise ValueError(
                f"ExactDecimal({precision}, {scale}): a decimal has at most "
                f"{MOST_DIGITS} digits, {scale} of them after the point"
            )
        super().__init__(precision, scale)

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        impl: Any = self.impl
        numeric = _SqliteDecimal if dialect.name == "sqlite" else sa.Numeric
        return dialect.type_descriptor(numeric(impl.precision, impl.scale))

    def process_bind_param(
        self, value: Decimal | None, dialect: sa.Dialect
    ) -> Decimal | None:
        return value

    def process_result_value(
        self, value: Decimal | None, dialect: sa.Dialect
    ) -> Decimal | None:
        return value


# Django's JSONField requires jsonb, not json, and stores None as NULL.
Json = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)

# `mapped_column(info=SECRET)`: the admin site never reads the column.
SECRET: Final[dict[Any, Any]] = {"secret": True}


class Base(DeclarativeBase):
    """Base class of all models. Alembic and Django's models read its metadata."""

    metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {
        datetime: UTCDateTime(),
        UUID: sa.Uuid(),
        dict[str, Any]: Json,
    }


class TimestampMixin:
    """Adds `created_at` and `updated_at`, which the code and the database fill."""

    created_at: Mapped[datetime] = mapped_column(
        default=utc_now, server_default=sa.func.now(), sort_order=900
    )
    updated_at: Mapped[datetime] = mapped_column(
        default=utc_now, onupdate=utc_now, server_default=sa.func.now(), sort_order=901
    )

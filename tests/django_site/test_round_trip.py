"""Columns of every type: each side reads and filters what the other wrote."""

import enum
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from django.db import models
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.config import Settings
from bedplate.database import Base, ExactDecimal
from bedplate.database.engines import SQLITE_PRAGMAS
from bedplate.django_site.column_types import check_columns
from bedplate.example import BUILT_IN
from bedplate.module import Module, ModuleError
from bedplate.testing.django_side import forget, point_at


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"


class Shade(enum.StrEnum):
    LIGHT = "light"
    DARK = "dark"


class OwnBase(DeclarativeBase):
    """A base of its own: its tables belong to no module."""

    type_annotation_map = Base.type_annotation_map
    metadata = sa.MetaData(naming_convention=Base.metadata.naming_convention)


class Parent(OwnBase):
    __tablename__ = "round_trip_parents"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)


class Everything(OwnBase):
    """A table with a column of each type that the bridge supports."""

    __tablename__ = "round_trip"
    __table_args__ = (sa.CheckConstraint("status IN ('draft', 'sent')", "status"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    short: Mapped[str] = mapped_column(sa.String(40), doc="a name; at most 40 letters")
    long: Mapped[str | None] = mapped_column(sa.Text)
    other: Mapped[uuid.UUID | None]
    flag: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    small: Mapped[int] = mapped_column(sa.SmallInteger)
    number: Mapped[int]
    big: Mapped[int] = mapped_column(sa.BigInteger)
    real: Mapped[float]
    price: Mapped[Decimal] = mapped_column(ExactDecimal(10, 2))
    day: Mapped[date | None]
    instant: Mapped[datetime]
    color: Mapped[Color]
    shade: Mapped[Shade | None] = mapped_column(
        sa.Enum(
            Shade, native_enum=False, values_callable=lambda e: [m.value for m in e]
        )
    )
    size: Mapped[Literal["s", "l"]]
    status: Mapped[str] = mapped_column(sa.String(10), server_default="draft")
    data: Mapped[dict[str, Any] | None]
    parent_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("round_trip_parents.id", ondelete="SET NULL")
    )


text = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40
)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
    ),
    max_leaves=5,
)
instants = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)
VALUES = {
    "short": text,
    "long": st.none() | text,
    "other": st.none() | st.uuids(),
    "flag": st.booleans(),
    "small": st.integers(-(2**15), 2**15 - 1),
    "number": st.integers(-(2**31), 2**31 - 1),
    "big": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    "price": st.decimals("-99999999.99", "99999999.99", places=2),
    "day": st.none() | st.dates(),
    "instant": instants,
    "color": st.sampled_from(Color),
    "shade": st.none() | st.sampled_from(Shade),
    "size": st.sampled_from(["s", "l"]),
    "status": st.sampled_from(["draft", "sent"]),
    "data": st.none() | st.dictionaries(text, json, max_size=3),
}
rows = st.fixed_dictionaries(VALUES)


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    """Return SQLAlchemy's side: a sync engine with the tables of this file."""
    point_at(settings, BUILT_IN)
    url = settings.resolved_database_url
    is_sqlite = url.drivername == "sqlite"
    driver = "sqlite" if is_sqlite else "postgresql+psycopg"
    engine = sa.create_engine(url.set(drivername=driver))
    # bedplate: ignore[create-all] tables of this file only
    OwnBase.metadata.create_all(engine)
    if is_sqlite:
        with engine.connect() as opened:
            opened.exec_driver_sql(f"PRAGMA {SQLITE_PRAGMAS[0]}")
    yield engine
    forget()
    engine.dispose()


@pytest.fixture
def model(engine: sa.Engine) -> Any:
    """Return Django's side."""
    from bedplate.django_site.bridge import make_model

    make_model(Parent)
    return make_model(Everything)


def insert(engine: sa.Engine, values: dict[str, Any]) -> uuid.UUID:
    with engine.begin() as opened:
        statement = sa.insert(Everything).values(**values).returning(Everything.id)
        return opened.execute(statement).scalar_one()


def differences(one: Any, other: dict[str, Any]) -> dict[str, Any]:
    return {n: (getattr(one, n), v) for n, v in other.items() if getattr(one, n) != v}


@settings(max_examples=60)
@given(values=rows)
def check_django_reads(engine: sa.Engine, model: Any, values: dict[str, Any]) -> None:
    row_id = insert(engine, values)
    row = model.objects.get(pk=row_id)
    assert not differences(row, values)
    lookups = {
        f"{name}__isnull" if value is None else name: value is None or value
        for name, value in values.items()
    }
    assert model.objects.filter(pk=row_id, **lookups).exists(), lookups


@settings(max_examples=60)
@given(values=rows)
def check_sqlalchemy_reads(
    engine: sa.Engine, model: Any, values: dict[str, Any]
) -> None:
    row_id = model.objects.create(**values).pk
    table = Everything.__table__.c
    with engine.connect() as opened:
        whole = sa.select(Everything).where(Everything.id == row_id)
        assert not differences(opened.execute(whole).one(), values)
        same = sa.and_(*(_is(table[name], value) for name, value in values.items()))
        query = sa.select(table.id).where(table.id == row_id, same)
        assert opened.execute(query).first(), values


def _is(column: Any, value: Any) -> Any:
    return column.is_(None) if value is None else column == value


def test_what_sqlalchemy_writes_django_reads_and_finds(
    engine: sa.Engine, model: Any
) -> None:
    check_django_reads(engine, model)


def test_what_django_writes_sqlalchemy_reads_and_finds(
    engine: sa.Engine, model: Any
) -> None:
    check_sqlalchemy_reads(engine, model)


def test_a_model_says_what_the_table_says(model: Any) -> None:
    field = model._meta.get_field

    assert not model._meta.managed
    assert model._meta.db_table == "round_trip"
    assert field("short").max_length == 40
    assert field("short").verbose_name == "a name"
    assert field("short").help_text == "at most 40 letters"
    assert field("long").null
    assert not field("short").null
    assert field("flag").default is True
    assert (field("price").max_digits, field("price").decimal_places) == (10, 2)
    assert field("status").choices == [("draft", "Draft"), ("sent", "Sent")]
    assert field("color").choices == [(Color.RED, "Red"), (Color.GREEN, "Green")]
    assert field("size").choices == [("s", "S"), ("l", "L")]
    assert field("parent").remote_field.on_delete is models.SET_NULL
    assert field("parent").attname == "parent_id"
    assert model().id.version == 7


def test_a_default_of_the_database_holds_for_django_too(
    engine: sa.Engine, model: Any
) -> None:
    values = {"short": "a", "small": 1, "number": 1, "big": 1, "real": 1.0}
    more = {"price": Decimal(1), "instant": datetime.now(UTC), "size": "s"}
    row = model.objects.create(**values, **more, color=Color.RED)

    row.refresh_from_db()
    assert (row.status, row.flag, row.data) == ("draft", True, None)


class Unknown(sa.types.UserDefinedType[Any]):
    pass


@pytest.mark.parametrize(
    ("kind", "type_name"),
    [
        (Unknown(), "Unknown"),
        (sa.DateTime(), "DateTime"),  # without a time zone
        (sa.Interval(), "Interval"),
        (sa.Numeric(), "Numeric"),  # without a number of digits
    ],
)
def test_a_type_without_a_counterpart_is_named_at_start(
    kind: Any, type_name: str
) -> None:
    table = sa.Table("strange", sa.MetaData(), sa.Column("planted", kind))
    model: Any = type("Strange", (), {"__table__": table})

    with pytest.raises(ModuleError, match=r"strange\.planted") as refused:
        check_columns([Module(name="strange", models=[model])])
    assert type_name in str(refused.value)


def test_an_enum_goes_through_a_form_and_an_address(model: Any) -> None:
    field = model._meta.get_field("color")
    value = field.value_from_object(model(color=Color.GREEN))

    assert field.formfield().clean(value) is Color.GREEN
    assert field.get_prep_value(value) == "GREEN"
    assert field.get_prep_value(Color.GREEN) == "GREEN"

"""Column types return the same values on both databases, from ORM and read path."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.config import Settings
from bedplate.database import Base, Database, ExactDecimal, Json, Query
from bedplate.runtime import make_database
from bedplate.schemas import ResponseSchema


class PlantedBase(DeclarativeBase):
    """A separate base: the tables of our own are created by migrations."""

    type_annotation_map = Base.type_annotation_map


class Measure(PlantedBase):
    __tablename__ = "planted_measures"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    exact: Mapped[Decimal | None] = mapped_column(ExactDecimal(15, 2))
    near: Mapped[float]
    large: Mapped[int] = mapped_column(sa.BigInteger)
    day: Mapped[date]
    data: Mapped[dict[str, Any]] = mapped_column(Json)


class MeasureRow(ResponseSchema, frozen=True):
    exact: Decimal | None
    near: float
    large: int
    day: date
    data: dict[str, Any]


FIND = Query(
    sa.select(Measure.exact, Measure.near, Measure.large, Measure.day, Measure.data),
    MeasureRow,
)


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = make_database(settings)
    async with database.engine.begin() as connection:
        # bedplate: ignore[create-all] this table exists only in these tests
        await connection.run_sync(PlantedBase.metadata.create_all)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "exact",
    [None, *map(Decimal, ["0.00", "-0.01", "9999999999999.99", "1.10", "100.00"])],
)
async def test_stored_values_are_read_unchanged(
    database: Database, exact: Decimal | None
) -> None:
    values = {"near": 0.1, "large": 2**62, "day": date(2026, 2, 28), "data": {"a": [1]}}
    async with database.unit_of_work() as session:
        session.add(Measure(exact=exact, **values))

    async with database.unit_of_work() as session:
        row = await session.fetch_one(FIND)
        entity = (await session.scalars(sa.select(Measure))).one()

    assert row == MeasureRow(exact, **values)  # type: ignore[arg-type]
    assert repr(entity.exact) == repr(exact)


def test_more_digits_than_sqlite_stores_exactly_are_refused() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        ExactDecimal(16, 2)

"""Column types: the same values on both databases, by the ORM and by the read path."""

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
    """Apart from ours, whose tables the migrations make."""

    type_annotation_map = Base.type_annotation_map


class Measure(PlantedBase):
    __tablename__ = "planted_measures"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    exact: Mapped[Decimal | None] = mapped_column(ExactDecimal(15, 2))
    near: Mapped[float]
    large: Mapped[int] = mapped_column(sa.BigInteger)
    day: Mapped[date]
    kept: Mapped[dict[str, Any]] = mapped_column(Json)


class MeasureRow(ResponseSchema, frozen=True):
    exact: Decimal | None
    near: float
    large: int
    day: date
    kept: dict[str, Any]


FIND = Query(
    sa.select(Measure.exact, Measure.near, Measure.large, Measure.day, Measure.kept),
    MeasureRow,
)


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = make_database(settings)
    async with database.engine.begin() as connection:
        # bedplate: ignore[create-all] its one table is made for these tests
        await connection.run_sync(PlantedBase.metadata.create_all)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "exact",
    [None, *map(Decimal, ["0.00", "-0.01", "9999999999999.99", "1.10", "100.00"])],
)
async def test_what_is_stored_is_what_is_read(
    database: Database, exact: Decimal | None
) -> None:
    values = {"near": 0.1, "large": 2**62, "day": date(2026, 2, 28), "kept": {"a": [1]}}
    async with database.unit_of_work() as session:
        session.add(Measure(exact=exact, **values))

    async with database.unit_of_work() as session:
        read = await session.fetch_one(FIND)
        by_the_orm = (await session.scalars(sa.select(Measure))).one()

    assert read == MeasureRow(exact, **values)  # type: ignore[arg-type]
    assert repr(by_the_orm.exact) == repr(exact)


def test_more_digits_than_sqlite_keeps_are_refused() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        ExactDecimal(16, 2)

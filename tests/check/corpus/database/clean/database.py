from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Engine, Integer, create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, relationship


def make_engine(url: str, *, echo: bool) -> Engine:
    return create_engine(url, echo=echo)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id = Column(Integer, primary_key=True)
    created_at = Column(DateTime(timezone=True), nullable=False, default=utc_now)
    lines = relationship("Line", lazy="raise", cascade="all", passive_deletes=True)


async def page(session: AsyncSession, skip: int) -> list[Order]:
    query = select(Order).order_by(Order.id).offset(skip).limit(20)
    return list(await session.scalars(query))


async def narrowed(session: AsyncSession, skip: int, mine: bool) -> list[Order]:
    query = select(Order)
    if mine:
        query = query.where(Order.id > 1)
    query = query.order_by(Order.created_at, Order.id)
    return list(await session.scalars(query.offset(skip).limit(20)))

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Column, DateTime, Integer, create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, relationship

from .settings import DATABASE_URL

engine = create_engine(DATABASE_URL)  # finds: engine-at-import


class Base(DeclarativeBase):
    pass


class Database:
    engine = create_async_engine(DATABASE_URL, echo=True)  # finds: engine-at-import, sql-logged


class Order(Base):
    __tablename__ = "orders"

    id = Column(Integer, primary_key=True)
    created_at = Column(DateTime, nullable=False)  # finds: naive-time
    updated_at = Column(sa.DateTime(), nullable=False)  # finds: naive-time
    seen_at = Column(DateTime(timezone=True), default=datetime.utcnow)  # finds: naive-time
    lines = relationship("Line", lazy="raise", cascade="all, delete-orphan")  # finds: rows-loaded-to-delete


def start() -> None:
    Base.metadata.create_all(engine)  # finds: create-all


async def page(session: AsyncSession, skip: int) -> list[Order]:
    query = select(Order).offset(skip).limit(20)  # finds: unordered-page
    return list(await session.scalars(query))


def now() -> datetime:
    return datetime.now()  # finds: DTZ005


def then() -> datetime:
    return datetime.utcnow()  # finds: DTZ003

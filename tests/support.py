"""Helpers that several test modules share."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from httpx import AsyncClient
from sqlalchemy import select

from bedplate.database import Base
from bedplate.main import Application

MANY_SIGN_UPS = {"limit_sign_ups_per_address": "1000000 per hour"}
"""A setting for tests that load a server from one address."""

Clients = dict[str, AsyncClient]
Snapshot = Callable[[], Awaitable[Sequence[Any]]]


async def read_table(app: Application, model: type[Base]) -> Sequence[Any]:
    """Return a table's stored rows, without using the application's own reads."""
    table = model.__table__
    async with app.state.runtime.database.engine.connect() as connection:
        result = await connection.execute(select(table).order_by(table.c.id))
        rows: Sequence[Any] = result.all()
        return rows


async def execute(app: Application, statement: Any) -> None:
    """Change the tables without the application."""
    async with app.state.runtime.database.engine.begin() as connection:
        await connection.execute(statement)

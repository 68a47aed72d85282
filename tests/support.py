"""What several test modules share."""

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
    """A table's rows as they are stored, by another way than the application's own."""
    table = model.__table__
    async with app.state.runtime.database.engine.connect() as connection:
        rows = await connection.execute(select(table).order_by(table.c.id))
        found: Sequence[Any] = rows.all()
        return found


async def execute(app: Application, statement: Any) -> None:
    """Change the tables behind the application's back."""
    async with app.state.runtime.database.engine.begin() as connection:
        await connection.execute(statement)

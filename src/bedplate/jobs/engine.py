"""The engine's schema: made by the engine, brought to head together with ours."""

import asyncio
from functools import cache

import sqlalchemy as sa

from bedplate.database import Database
from bedplate.database.query import Statement
from bedplate.jobs.promises import engine_url
from bedplate.jobs.rows import ENGINE_SCHEMA


async def upgrade_engine(database: Database) -> None:
    """Run the engine's migrations that are missing; two at once are safe."""
    from bedplate.jobs.dbos import DBOS

    await asyncio.to_thread(DBOS.migrate, engine_url(database.url))


async def engine_is_at_head(database: Database) -> bool:
    """Whether the engine finds the tables that it needs.

    Raises:
        ServiceUnavailable: the database can't be asked.
    """
    rows = await database.fetch(_version(is_sqlite=database.is_sqlite), {})
    return bool(rows) and rows[0][0] >= _wanted_version(is_sqlite=database.is_sqlite)


@cache
def _version(*, is_sqlite: bool) -> Statement:
    schema = None if is_sqlite else ENGINE_SCHEMA
    table = sa.table("dbos_migrations", sa.column("version", sa.Integer), schema=schema)
    return Statement(sa.select(table.c.version))


@cache
def _wanted_version(*, is_sqlite: bool) -> int:
    from bedplate.jobs.dbos import migrations

    if is_sqlite:
        return len(migrations.sqlite_migrations)
    return len(migrations.get_dbos_migrations(ENGINE_SCHEMA, use_listen_notify=True))

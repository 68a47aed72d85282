"""Migrates the engine's schema, with the engine's own migrations."""

import asyncio
from functools import cache

import sqlalchemy as sa

from bedplate.core.errors import APIError
from bedplate.database import Database
from bedplate.database.query import Statement
from bedplate.jobs.outbox import engine_url
from bedplate.jobs.tables import ENGINE_SCHEMA


async def upgrade_engine(database: Database) -> bool:
    """Run the engine's migrations, and return whether any was missing.

    Two processes can do this at the same time.
    """
    from bedplate.jobs.dbos import DBOS

    was_missing = not await engine_is_at_head(database)
    await asyncio.to_thread(DBOS.migrate, engine_url(database.url))
    return was_missing


async def engine_is_at_head(database: Database) -> bool:
    """Return whether the database has the tables that the engine needs.

    Raises:
        ServiceUnavailable: the database is unavailable.
    """
    try:
        rows = await database.fetch(_version(is_sqlite=database.is_sqlite), {})
    except APIError:
        raise
    except Exception as error:  # of the driver: reads don't go through SQLAlchemy
        if "dbos_migrations" in str(error):
            return False  # no table yet
        raise
    return bool(rows) and rows[0][0] >= _head_version(is_sqlite=database.is_sqlite)


@cache
def _version(*, is_sqlite: bool) -> Statement:
    schema = None if is_sqlite else ENGINE_SCHEMA
    table = sa.table("dbos_migrations", sa.column("version", sa.Integer), schema=schema)
    return Statement(sa.select(table.c.version))


@cache
def _head_version(*, is_sqlite: bool) -> int:
    from bedplate.jobs.dbos import migrations

    if is_sqlite:
        return len(migrations.sqlite_migrations)
    return len(migrations.get_dbos_migrations(ENGINE_SCHEMA, use_listen_notify=True))

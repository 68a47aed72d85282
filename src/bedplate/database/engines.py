"""One engine a database, configured as each of the two needs it."""

import time
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util.concurrency import in_greenlet

from bedplate.database.errors import DatabaseUnreachable
from bedplate.database.sqlite import SqliteConnection

# A connection that was idle longer is pinged before an ORM session gets it.
# SQLAlchemy's own `pool_pre_ping` pings on every checkout, which costs a fifth of the
# throughput.
PING_AFTER_IDLE_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 30

SQLITE_PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
)


def make_engine(
    url: sa.URL, *, pool_size: int, pool_timeout: float, transaction_pooler: bool
) -> AsyncEngine:
    """An engine for `sqlite:///path` or `postgresql://…`; nothing is opened yet."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_timeout)
    return _postgres_engine(url, pool_size, pool_timeout, transaction_pooler)


def _sqlite_engine(url: sa.URL, pool_timeout: float) -> AsyncEngine:
    # One connection: writers of this process queue in turn here, not in SQLite's busy
    # loop, whose back-off lets some wait for seconds. Reads don't use this engine.
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_timeout=pool_timeout,
        connect_args={"factory": SqliteConnection},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver begins nothing; `begin` does
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("unicode_lower", 1, unicode_lower)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later would fail at once when
        # another wrote in between; the busy timeout doesn't cover that.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine.sync_engine, "checkin")
    def unlock(connection: Any, _record: ConnectionPoolEntry) -> None:
        # A COMMIT that fails leaves SQLite inside its transaction while SQLAlchemy
        # counts it as ended: the write lock would stay held in the pool.
        if connection is not None and connection.driver_connection.in_transaction:
            connection.rollback()

    return engine


def unicode_lower(text: str | None) -> str | None:
    """SQLite's own `lower()` knows ASCII only."""
    return None if text is None else text.lower()


def _postgres_engine(
    url: sa.URL, pool_size: int, pool_timeout: float, transaction_pooler: bool
) -> AsyncEngine:
    arguments: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "command_timeout": STATEMENT_TIMEOUT_SECONDS,
        "server_settings": {"application_name": "bedplate"},
    }
    if transaction_pooler:
        # The next statement may run on another server connection, which has neither
        # our prepared statements nor our settings.
        arguments |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "server_settings": {},
        }
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        hide_parameters=True,  # an error's text goes to the log: no emails, no hashes
        pool_size=pool_size,
        max_overflow=0,  # an overflow connection is closed on return: SCRAM every time
        pool_timeout=pool_timeout,
        pool_use_lifo=True,
        connect_args={**arguments, "async_creator_fn": _connect},
    )
    event.listen(engine.sync_engine, "checkin", _note_idle)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    return engine


async def _connect(*args: Any, **kwargs: Any) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(*args, **kwargs)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        # Said here, where it is certain: elsewhere an OSError could be anybody's.
        raise DatabaseUnreachable from error


def _note_idle(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def was_just_used(lease: PoolProxiedConnection) -> bool:
    """Whether a connection needs no ping."""
    idle_since: float = lease.info.get("idle_since", 0.0)
    return time.monotonic() - idle_since < PING_AFTER_IDLE_SECONDS


def _ping_if_idle(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Replace a dead connection before it is used, and its contemporaries with it."""
    if connection.driver_connection.is_closed():
        raise exc.InvalidatePoolError
    idle_since = record.info.get("idle_since", time.monotonic())
    if time.monotonic() - idle_since < PING_AFTER_IDLE_SECONDS or not in_greenlet():
        return  # the read path can't wait for a ping: it retries instead
    try:
        connection.ping()
    except Exception as error:
        raise exc.InvalidatePoolError from error

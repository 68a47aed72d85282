"""Creates SQLAlchemy engines, configured for PostgreSQL or SQLite."""

import math
import socket
import time
from typing import Any, NamedTuple

import asyncpg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util.concurrency import in_greenlet

from bedplate.database.driver_errors import DatabaseUnreachable
from bedplate.database.pool import OneConnectionPool, WarningPool
from bedplate.database.sqlite import SqliteConnection

# A connection that was idle for longer is pinged before an ORM session gets it.
# SQLAlchemy's `pool_pre_ping` pings at every checkout, which costs a fifth of the
# throughput.
PING_AFTER_IDLE_SECONDS = 5.0
# A peer that vanished silently is detected after about ten seconds.
KEEPALIVE_IDLE_SECONDS = 5
KEEPALIVE_INTERVAL_SECONDS = 2
KEEPALIVE_COUNT = 3

SQLITE_PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
)


class Timeouts(NamedTuple):
    """The longest times to wait for PostgreSQL, in seconds."""

    connect: float = 3.0
    statement: float | None = 5.0
    """None means no limit, which migrations need."""
    idle_transaction: float = 60.0


def make_engine(
    url: sa.URL,
    *,
    pool_size: int,
    pool_timeout: float,
    transaction_pooler: bool,
    is_strict: bool = True,
    timeouts: Timeouts | None = None,
) -> AsyncEngine:
    """Return an engine for `sqlite:///path` or `postgresql://…`. It opens nothing yet.

    If `is_strict`, a task that requests a second connection gets `SecondConnection`.
    """
    timeouts = timeouts or Timeouts()
    pool = OneConnectionPool if is_strict else WarningPool
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_timeout, pool)
    return _postgres_engine(
        url, pool_size, pool_timeout, transaction_pooler, pool, timeouts
    )


def _sqlite_engine(
    url: sa.URL, pool_timeout: float, pool: type[OneConnectionPool]
) -> AsyncEngine:
    # One connection: writers of this process wait here in order, not in SQLite's busy
    # loop, where back-off can delay some of them for seconds. Reads don't use this
    # engine.
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        hide_parameters=True,
        poolclass=pool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=pool_timeout,
        connect_args={"factory": SqliteConnection},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # `begin` below begins, not the driver
        cursor = connection.cursor()
        for pragma in SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("unicode_lower", 1, unicode_lower)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later fails immediately if another
        # one wrote in between: the busy timeout doesn't cover that.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine.sync_engine, "checkin")
    def unlock(connection: Any, _record: ConnectionPoolEntry) -> None:
        # After a failed COMMIT, SQLite is still in its transaction, but SQLAlchemy
        # considers it ended: the pooled connection would hold the write lock.
        if connection is not None and connection.driver_connection.in_transaction:
            connection.rollback()

    return engine


def unicode_lower(text: str | None) -> str | None:
    """Lower a text for SQLite, whose own `lower()` supports ASCII only."""
    return None if text is None else text.lower()


def _postgres_engine(
    url: sa.URL,
    pool_size: int,
    pool_timeout: float,
    transaction_pooler: bool,
    pool: type[OneConnectionPool],
    timeouts: Timeouts,
) -> AsyncEngine:
    arguments: dict[str, Any] = {
        "timeout": timeouts.connect,
        "command_timeout": timeouts.statement,
        "server_settings": _server_settings(timeouts),
    }
    if transaction_pooler:
        # The next statement may run on another server connection, without our prepared
        # statements and our settings.
        arguments |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "server_settings": {},
        }
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        hide_parameters=True,  # errors are logged: keep emails and hashes out
        poolclass=pool,
        pool_size=pool_size,
        # An overflow connection is closed when returned, and the next one needs a new
        # SCRAM handshake.
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_use_lifo=True,
        connect_args={**arguments, "async_creator_fn": _connect},
    )
    event.listen(engine.sync_engine, "checkin", _record_idle_since)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "handle_error", _invalidate_after_timeout)
    return engine


def _server_settings(timeouts: Timeouts) -> dict[str, str]:
    """Return settings that the server enforces, even if no client waits any more."""
    idle = int(timeouts.idle_transaction * 1000)
    settings = {
        "application_name": "bedplate",
        "idle_in_transaction_session_timeout": str(idle),
    }
    if timeouts.statement is not None:
        settings["statement_timeout"] = str(int(timeouts.statement * 1000))
    return settings


async def _connect(*args: Any, **kwargs: Any) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(*args, **kwargs)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        # Convert here: elsewhere an OSError need not come from the database.
        raise DatabaseUnreachable from error
    # Private: asyncpg has no option for keepalive.
    keep_alive(connection._transport.get_extra_info("socket"))  # noqa: SLF001
    return connection


def keep_alive(connection: socket.socket) -> None:
    """Enable TCP keepalive, so that a peer that vanished silently is detected."""
    if connection.family == getattr(socket, "AF_UNIX", None):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", _user_timeout_ms()),
    ):
        if hasattr(socket, name):  # not every platform has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _user_timeout_ms() -> int:
    seconds = KEEPALIVE_IDLE_SECONDS + KEEPALIVE_INTERVAL_SECONDS * KEEPALIVE_COUNT
    return seconds * 1000


def libpq_options(
    timeouts: Timeouts, *, transaction_pooler: bool = False
) -> dict[str, Any]:
    """Return the same options for psycopg, which Django and the job engine use."""
    options: dict[str, Any] = {
        "connect_timeout": max(2, math.ceil(timeouts.connect)),  # libpq's minimum
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
        "keepalives_interval": KEEPALIVE_INTERVAL_SECONDS,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": _user_timeout_ms(),
    }
    if not transaction_pooler:  # a pooler refuses them
        settings = _server_settings(timeouts)
        settings.pop("application_name")
        pairs = (f"-c {name}={value}" for name, value in settings.items())
        options["options"] = " ".join(pairs)
    return options


def _invalidate_after_timeout(context: ExceptionContext) -> None:
    """Drop a connection whose statement timed out, and all older ones.

    asyncpg sends a cancel request, and the connection's next statement waits for that
    without a limit. That includes the ROLLBACK that returns it to the pool.
    """
    if isinstance(context.original_exception, TimeoutError | OSError):
        context.is_disconnect = True


def _record_idle_since(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def was_just_used(lease: PoolProxiedConnection) -> bool:
    """Return whether a connection was used so recently that it needs no ping."""
    idle_since: float = lease.info.get("idle_since", 0.0)
    return time.monotonic() - idle_since < PING_AFTER_IDLE_SECONDS


def _ping_if_idle(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Replace a dead connection before it is used, and all older ones with it."""
    if connection.driver_connection.is_closed():
        raise exc.InvalidatePoolError
    idle_since = record.info.get("idle_since", time.monotonic())
    if time.monotonic() - idle_since < PING_AFTER_IDLE_SECONDS or not in_greenlet():
        return  # outside a greenlet is the read path: it can't wait, and retries
    try:
        connection.ping()
    except Exception as error:
        raise exc.InvalidatePoolError from error

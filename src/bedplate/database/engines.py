"""One engine a database, configured as each of the two needs it."""

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

# A connection that was idle longer is pinged before an ORM session gets it.
# SQLAlchemy's own `pool_pre_ping` pings on every checkout, which costs a fifth of the
# throughput.
PING_AFTER_IDLE_SECONDS = 5.0
# A peer that vanished without a word is given up after about ten seconds.
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
    """How long PostgreSQL is waited for, in seconds."""

    connect: float = 3.0
    statement: float | None = 5.0
    """None: without a limit, as migrations need it."""
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
    """Return an engine for `sqlite:///path` or `postgresql://…`; open nothing yet.

    `is_strict`: a task that asks for a second connection gets `SecondConnection`.
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
    # One connection: writers of this process queue in turn here, not in SQLite's busy
    # loop, whose back-off lets some wait for seconds. Reads don't use this engine.
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
        poolclass=pool,
        pool_size=pool_size,
        max_overflow=0,  # an overflow connection is closed on return: SCRAM every time
        pool_timeout=pool_timeout,
        pool_use_lifo=True,
        connect_args={**arguments, "async_creator_fn": _connect},
    )
    event.listen(engine.sync_engine, "checkin", _note_idle)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "handle_error", _distrust_after_timeout)
    return engine


def _server_settings(timeouts: Timeouts) -> dict[str, str]:
    """Return what the server holds to by itself, once nobody waits for it any more."""
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
        # Said here, where it is certain: elsewhere an OSError could be anybody's.
        raise DatabaseUnreachable from error
    # asyncpg has no option for it.
    keep_alive(connection._transport.get_extra_info("socket"))  # noqa: SLF001
    return connection


def keep_alive(connection: socket.socket) -> None:
    """Let the system notice a peer that vanished without a word."""
    if connection.family == getattr(socket, "AF_UNIX", None):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", _user_timeout_ms()),
    ):
        if hasattr(socket, name):  # not every system has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _user_timeout_ms() -> int:
    seconds = KEEPALIVE_IDLE_SECONDS + KEEPALIVE_INTERVAL_SECONDS * KEEPALIVE_COUNT
    return seconds * 1000


def libpq_options(
    timeouts: Timeouts, *, transaction_pooler: bool = False
) -> dict[str, Any]:
    """Return the same for psycopg, which Django and the job engine use."""
    options: dict[str, Any] = {
        "connect_timeout": max(2, math.ceil(timeouts.connect)),  # libpq's least
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
        "keepalives_interval": KEEPALIVE_INTERVAL_SECONDS,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": _user_timeout_ms(),
    }
    if not transaction_pooler:  # which would refuse them
        settings = _server_settings(timeouts)
        settings.pop("application_name")
        pairs = (f"-c {name}={value}" for name, value in settings.items())
        options["options"] = " ".join(pairs)
    return options


def _distrust_after_timeout(context: ExceptionContext) -> None:
    """Throw out a connection whose statement hung, and all that were made before.

    asyncpg asks the server to cancel, and whatever the connection does next waits for
    that without a limit: also the ROLLBACK that gives it back to the pool.
    """
    if isinstance(context.original_exception, TimeoutError | OSError):
        context.is_disconnect = True


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

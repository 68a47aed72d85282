"""Readers run compiled statements on the driver, outside any transaction."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from bedplate.database.engines import unicode_lower, was_just_used
from bedplate.database.sqlite import SqliteConnection

Rows = Sequence[Sequence[Any]]


class Reader(Protocol):
    """Runs one SELECT, which sees committed data."""

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Rows: ...

    async def close(self) -> None: ...


class PostgresReader:
    """Runs each statement on a connection from SQLAlchemy's pool.

    An idle connection is taken from the pool without an await, which makes it cheap.
    Without an idle one, the reader waits for a connection as usual.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        lease = self._take_idle() or await self._engine.raw_connection()
        try:
            return await self._run(lease, sql, arguments)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._invalidate(lease, error)
            raise
        except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError):
            if not _connection(lease).is_closed():
                raise
            lease.invalidate()
        finally:
            lease.close()
        return await self._fetch_again(sql, arguments)

    async def execute_once(self, sql: str, arguments: Sequence[Any]) -> None:
        """Run a write as its own transaction, and don't retry it.

        If the connection breaks, the write may have happened. So it gets a connection
        that was in use a moment ago, or a fresh one.
        """
        lease = self._take_idle()
        if lease is not None and not was_just_used(lease):
            lease.close()
            lease = None
        lease = lease or await self._engine.raw_connection()
        try:
            await self._run(lease, sql, arguments)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._invalidate(lease, error)
            raise
        finally:
            lease.close()

    def _invalidate(self, lease: PoolProxiedConnection, error: BaseException) -> None:
        """Drop a connection that hangs and, after a timeout, all older ones too.

        On such a connection asyncpg would wait without a limit for the server to handle
        the cancel request.
        """
        if isinstance(error, TimeoutError):
            pool = self._engine.sync_engine.pool
            # Private: SQLAlchemy calls it after a disconnect, to drop older ones too.
            pool._invalidate(lease, error)  # noqa: SLF001
        else:
            lease.invalidate(error)

    async def _fetch_again(self, sql: str, arguments: Sequence[Any]) -> Rows:
        # Safe to repeat: the read on the broken connection changed nothing.
        lease = await self._engine.raw_connection()
        try:
            return await self._run(lease, sql, arguments)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._invalidate(lease, error)
            raise
        finally:
            lease.close()

    def _take_idle(self) -> PoolProxiedConnection | None:
        pool = self._engine.sync_engine.pool
        if not cast("sa.QueuePool", pool).checkedin():
            return None
        try:
            return pool.connect()
        except MissingGreenlet:  # it was invalidated, and reconnecting needs an await
            return None

    async def _run(
        self, lease: PoolProxiedConnection, sql: str, arguments: Sequence[Any]
    ) -> Rows:
        return cast("Rows", await _connection(lease).fetch(sql, *arguments))

    async def close(self) -> None:
        """Do nothing: the engine closes the pool."""


def _connection(lease: PoolProxiedConnection) -> asyncpg.Connection:
    return lease.driver_connection


class SqliteReader:
    """Runs statements in a few threads, each with a read-only connection.

    Each statement needs one switch to a thread, while aiosqlite needs one for each of
    connect, execute, fetch and close. Readers don't wait for the writer (WAL).
    """

    def __init__(self, path: str, *, threads: int = 2) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sqlite-read")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, sql, arguments)

    def _run(self, sql: str, arguments: Sequence[Any]) -> Rows:
        return self._connection().execute(sql, arguments).fetchall()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            isolation_level=None,
            check_same_thread=False,  # `close` runs on another thread
            cached_statements=512,
            factory=SqliteConnection,
        )
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA query_only=ON")
        connection.create_function(
            "unicode_lower", 1, unicode_lower, deterministic=True
        )
        self._opened.append(connection)
        return connection

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._opened:
            connection.close()


def make_reader(engine: AsyncEngine) -> Reader:
    if engine.dialect.name == "sqlite":
        return SqliteReader(engine.url.database or "")
    return PostgresReader(engine)

"""The unit of work: one transaction per request or job, and its reads."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.util import greenlet_spawn

from bedplate.core.errors import ServiceUnavailable
from bedplate.core.pagination import Cursors
from bedplate.database.base import Base
from bedplate.database.driver_errors import translate
from bedplate.database.engines import Timeouts, make_engine
from bedplate.database.inserts import Insert, insert_of
from bedplate.database.lists import ListQuery
from bedplate.database.query import Query, R, Statement, V, ValueQuery
from bedplate.database.readers import PostgresReader, Rows, make_reader
from bedplate.schemas import ListParams, Page, ResponseSchema

P = TypeVar("P", bound=ResponseSchema)


class _OrmSession(orm.Session):
    """The synchronous session inside `Session`, which runs in SQLAlchemy's greenlet."""

    pending: Insert | None = None
    """A row to write when the transaction begins or, if none does, on its own."""


@event.listens_for(_OrmSession, "after_begin")
def _write_pending(
    session: _OrmSession, _transaction: object, connection: sa.Connection
) -> None:
    if session.pending is not None:
        row, session.pending = session.pending, None
        connection.execute(row.statement.statement, row.values)


class Session(AsyncSession):
    """SQLAlchemy's session with the read path.

    `fetch_one`, `fetch_all` and `fetch_page` see committed data until this session
    begins its transaction. After that they read inside it and see its writes.
    """

    sync_session_class = _OrmSession
    sync_session: _OrmSession

    def __init__(self, database: "Database") -> None:
        # SQLAlchemy's part is initialized at the first access to one of its attributes.
        # Most requests only read, and it would cost them a tenth of their time.
        self._database = database
        self._pending: Insert | None = None

    def __getattr__(self, name: str) -> Any:
        if self._is_initialized:
            raise AttributeError(name)
        database = self._database
        super().__init__(
            database.engine, expire_on_commit=False, info=database.session_info
        )
        self.sync_session.pending, self._pending = self._pending, None
        return getattr(self, name)

    @property
    def _is_initialized(self) -> bool:
        return "sync_session" in vars(self)

    @property
    def has_begun(self) -> bool:
        """True if its transaction has begun."""
        return self._is_initialized and self.in_transaction()

    @property
    def pending(self) -> Insert | None:
        """A row that waits for the transaction to begin, or the unit of work to end."""
        return self.sync_session.pending if self._is_initialized else self._pending

    async def rollback(self) -> None:
        """Undo this session's writes, and drop its pending row."""
        self.sync_session.pending = None
        await super().rollback()

    async def insert(self, entity: Base) -> None:
        """Write a new row, faster than `add`, without tracking later changes to it.

        If it is the only write of a unit of work, it is sent when that ends, as one
        statement that is its own transaction. Then a violated constraint raises there.

        Raises:
            TypeError: a column has neither a value nor a Python default.
        """
        row = insert_of(entity)
        if self.pending or self.has_begun:
            await self.flush()  # the row may refer to rows that were added before it
            connection = await self.connection()
            await connection.execute(row.statement.statement, row.values)
        elif self._is_initialized:
            self.sync_session.pending = row
        else:
            self._pending = row

    def try_lock(self, number: int) -> bool:
        """Take a lock by its number until the unit of work ends; False if it is held.

        The lock excludes other sessions of this process only; between processes use a
        constraint. It needs no connection and begins no transaction, so code under it
        can still open other units of work.
        """
        return self._database.local_locks.take(number, self)

    async def fetch_one(self, query: Query[R], **values: Any) -> R | None:
        """Return the first row, or None."""
        rows = await self.fetch_all(query, **values)
        return rows[0] if rows else None

    async def fetch_value(self, query: ValueQuery[V], **values: Any) -> V | None:
        """Return the value of the first row, or None without a row."""
        rows = await self._fetch(query, values)
        return rows[0][0] if rows else None

    async def fetch_values(self, query: ValueQuery[V], **values: Any) -> list[V]:
        """Return the value of every row."""
        return [row[0] for row in await self._fetch(query, values)]

    async def fetch_all(self, query: Query[R], **values: Any) -> list[R]:
        return [query.build(row) for row in await self._fetch(query, values)]

    async def fetch_page(
        self,
        query: ListQuery[P],
        params: ListParams,
        scope: str | None = None,
        **values: Any,
    ) -> Page[P]:
        """Return one page of the rows in a scope; `values` are the scope's parameters.

        Raises:
            InvalidCursor: the cursor belongs to another list or sort.
        """
        cursors = self._database.cursors
        statement, list_values = query.prepare(params, cursors, scope)
        values |= list_values
        return query.read(await self._fetch(statement, values), params, cursors)

    async def _fetch(self, statement: Statement, values: dict[str, Any]) -> Rows:
        if self.pending is None and not self.has_begun:
            return await self._database.fetch(statement, values)
        await self.flush()
        compiled = statement.compiled_for(self._database.dialect)
        connection = await self.connection()
        raw = await connection.get_raw_connection()
        arguments = compiled.arguments(values)
        driver: Any = raw.driver_connection
        if self._database.is_sqlite:
            rows = list(await driver.execute_fetchall(compiled.sql, arguments))
        else:
            rows = await driver.fetch(compiled.sql, *arguments)
        return [compiled.values(row) for row in rows]


class LocalLocks:
    """Locks by number among the sessions of one process."""

    def __init__(self) -> None:
        self._holders: dict[int, Session] = {}

    def take(self, number: int, session: Session) -> bool:
        return self._holders.setdefault(number, session) is session

    def release(self, session: Session) -> None:
        """Release all locks of a session."""
        for number in [n for n, s in self._holders.items() if s is session]:
            del self._holders[number]


class Database:
    """An engine with its units of work and reads. It connects when it is first used."""

    def __init__(
        self,
        url: sa.URL,
        *,
        cursor_keys: Sequence[bytes],
        pool_size: int = 20,
        pool_timeout: float = 5.0,
        transaction_pooler: bool = False,
        is_strict: bool = True,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.url = url
        self._timeouts = timeouts or Timeouts()
        self._transaction_pooler = transaction_pooler
        self.cursors = Cursors(*cursor_keys)
        self.session_info: dict[str, Any] = {}
        """The initial `info` of each session."""
        self.engine = make_engine(
            url,
            pool_size=pool_size,
            pool_timeout=pool_timeout,
            transaction_pooler=transaction_pooler,
            is_strict=is_strict,
            timeouts=timeouts,
        )
        self.dialect = self.engine.dialect
        self.is_sqlite = self.dialect.name == "sqlite"
        self.local_locks = LocalLocks()
        self._reader = make_reader(self.engine)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[Session]:
        """Run a block in one transaction: commit at its end, roll back if it raises.

        The transaction begins at the session's first statement. So a block that only
        reads with `fetch_…` has none and costs almost nothing.

        Raises:
            Conflict: a named constraint was violated; see `core.errors`.
            ServiceUnavailable: the database, or a free connection, is unavailable.
        """
        session = Session(self)
        try:
            yield session
            if session.has_begun:
                await session.commit()
            elif session.pending is not None:
                await self._insert_alone(session.pending)
        except Exception as error:
            if (api_error := translate(error, Base.metadata)) is None:
                raise
            raise api_error from error
        finally:
            self.local_locks.release(session)
            if session.has_begun:
                # Shielded: if a canceled request interrupted this, the connection
                # would not return to the pool.
                await asyncio.shield(self._close(session))

    async def _close(self, session: Session) -> None:
        """Roll back an open transaction and return the connection to the pool.

        If the connection is dead, its error must not replace the one that ended the
        unit of work.
        """
        try:
            await session.close()
        except Exception as error:
            if not isinstance(translate(error, Base.metadata), ServiceUnavailable):
                raise
            await session.invalidate()

    async def _insert_alone(self, row: Insert) -> None:
        # Without BEGIN and COMMIT, which would be two more round trips.
        compiled = row.statement.compiled_for(self.dialect)
        arguments = compiled.arguments(row.values)
        if isinstance(self._reader, PostgresReader):
            await self._reader.execute_once(compiled.sql, arguments)
            return
        lease = await self.engine.raw_connection()
        try:
            driver: Any = lease.driver_connection
            await driver.execute_fetchall(compiled.sql, arguments)
        finally:
            await greenlet_spawn(lease.close)  # the pool's reset waits for the driver

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> Rows:
        """Run a compiled read outside any transaction.

        Raises:
            ServiceUnavailable: the database, or a free connection, is unavailable.
        """
        compiled = statement.compiled_for(self.dialect)
        try:
            rows = await self._reader.fetch(compiled.sql, compiled.arguments(values))
        except Exception as error:
            if (api_error := translate(error, Base.metadata)) is None:
                raise
            raise api_error from error
        if compiled.columns is None:
            return rows
        return [compiled.values(row) for row in rows]

    async def fetch_one(self, query: Query[R], **values: Any) -> R | None:
        """Return the first row of a read outside any transaction, or None."""
        rows = await self.fetch(query, values)
        return query.build(rows[0]) if rows else None

    @asynccontextmanager
    async def engine_for_migrations(self) -> AsyncIterator[AsyncEngine]:
        """Yield an engine without a statement timeout: an index can take minutes."""
        engine = make_engine(
            self.url,
            pool_size=1,
            pool_timeout=self._timeouts.connect,
            transaction_pooler=self._transaction_pooler,
            timeouts=self._timeouts._replace(statement=None),
        )
        try:
            yield engine
        finally:
            await engine.dispose()

    async def is_reachable(self) -> bool:
        """Return True if the database responds.

        Raises:
            ServiceUnavailable: it doesn't.
        """
        return bool(await self.fetch(_PING, {}))

    async def close(self) -> None:
        await self._reader.close()
        await self.engine.dispose()


_PING = Statement(sa.select(sa.literal(1, sa.Integer())))

"""Rate limits, counted in a store that all processes share.

The `limits` library counts. The store is the database, or Redis if
`BEDPLATE_REDIS_URL` is set. A count is one atomic statement in its own transaction, so
that a rejected request is still counted.
"""

import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from sqlalchemy import String, bindparam, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.config import PREFIX, SettingsError
from bedplate.core.clock import utc_now
from bedplate.core.errors import RateLimited, ServiceUnavailable
from bedplate.database import Base, Database
from bedplate.database.query import Statement


class RateLimit(Base):
    """One window of one limit for one key."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    hits: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Hit(NamedTuple):
    """One use of a limit, and the key that it is counted under."""

    limit: RateLimitItem
    key: str


def hit(limit: str, *parts: str) -> Hit:
    """Return a use of a limit, such as `5 per 5 minutes`, by a key of these parts.

    The key is a digest, so that the store holds no personal data.
    """
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return Hit(parse(limit), digest[:40])


class Limits:
    """Counts hits and rejects those over a limit."""

    def __init__(
        self,
        storage: Storage,
        *,
        enabled: bool,
        close_storage: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._windows = FixedWindowRateLimiter(storage)
        self._enabled = enabled
        self._close_storage = close_storage

    async def check(self, *hits: Hit) -> None:
        """Check limits without counting.

        Raises:
            RateLimited: one of the limits is used up.
            ServiceUnavailable: the store is unavailable.
        """
        with _require_store():
            for limit, key in hits if self._enabled else ():
                if not await self._windows.test(limit, key):
                    raise await self._error(limit, key)

    async def is_used_up(self, used: Hit) -> bool:
        """Return whether one more hit would be rejected, without counting it."""
        with _require_store():
            return self._enabled and not await self._windows.test(*used)

    async def clear(self, *hits: Hit) -> None:
        """Reset the counts of these keys."""
        with _require_store():
            for limit, key in hits:
                await self._windows.clear(limit, key)

    async def count(self, *hits: Hit) -> None:
        """Count every hit, even if one is over its limit.

        Raises:
            RateLimited: one of the limits was used up already.
            ServiceUnavailable: the store is unavailable.
        """
        with _require_store():
            over = [
                used
                for used in (hits if self._enabled else ())
                if not await self._windows.hit(*used)
            ]
            if over:
                raise await self._error(*over[0])

    async def _error(self, limit: RateLimitItem, key: str) -> RateLimited:
        window = await self._windows.get_window_stats(limit, key)
        # At least 1: clients would repeat a request after 0 seconds immediately.
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        return RateLimited(headers={"Retry-After": str(seconds)})

    async def close(self) -> None:
        """Close the Redis connections. The database is closed by its owner."""
        if self._close_storage is not None:
            await self._close_storage()


@contextmanager
def _require_store() -> Iterator[None]:
    """Fail closed: reject what can't be counted."""
    try:
        yield
    except StorageError as error:
        raise ServiceUnavailable from error


def make_limits(database: Database, *, redis_url: str | None, enabled: bool) -> Limits:
    """Return limits that count in Redis if there is a URL, else in the database.

    Raises:
        SettingsError: the Redis client isn't installed.
    """
    if redis_url is None:
        return Limits(DatabaseStorage(database), enabled=enabled)
    pool = _redis_pool(redis_url)
    storage = RedisStorage(
        "redis://",
        implementation="redispy",
        wrap_exceptions=True,
        connection_pool=pool,
    )
    return Limits(storage, enabled=enabled, close_storage=pool.aclose)


def _redis_pool(url: str) -> Any:
    try:
        from redis.asyncio import ConnectionPool
    except ImportError:
        raise SettingsError(
            f"{PREFIX}REDIS_URL: needs the package redis: install bedplate[redis]"
        ) from None
    return ConnectionPool.from_url(url)


_WINDOW = Statement(
    select(RateLimit.hits, RateLimit.expires_at).where(
        RateLimit.key == bindparam("key", type_=String())
    )
)


class DatabaseStorage(Storage):
    """Storage of the `limits` library in the database."""

    STORAGE_SCHEME = None

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception]:
        return sa.exc.SQLAlchemyError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count hits and return the sum of their window, which the first hit starts."""
        now = utc_now()
        values = {
            "key": _shortened(key),
            "hits": amount,
            "expires_at": now + timedelta(seconds=expiry),
        }
        async with self._database.unit_of_work() as session:
            count = await session.scalar(self._upsert(values, now))
        return int(count or 0)

    def _upsert(self, values: dict[str, Any], now: datetime) -> Any:
        # One statement, so that concurrent hits are all counted.
        insert: Any = sqlite_insert if self._database.is_sqlite else postgresql_insert
        # After the end of its window, the next hit starts a new one.
        has_ended = RateLimit.expires_at <= now
        new = insert(RateLimit).values(**values)
        return new.on_conflict_do_update(
            index_elements=[RateLimit.key],
            set_={
                "hits": sa.case(
                    (has_ended, new.excluded.hits),
                    else_=RateLimit.hits + new.excluded.hits,
                ),
                "expires_at": sa.case(
                    (has_ended, new.excluded.expires_at), else_=RateLimit.expires_at
                ),
            },
        ).returning(RateLimit.hits)

    async def get(self, key: str) -> int:
        hits, expires_at = await self._window(key)
        return hits if expires_at > utc_now() else 0

    async def get_expiry(self, key: str) -> float:
        return float((await self._window(key))[1].timestamp())

    async def _window(self, key: str) -> Sequence[Any]:
        rows = await self._database.fetch(_WINDOW, {"key": _shortened(key)})
        return rows[0] if rows else (0, datetime.fromtimestamp(time.time(), UTC))

    async def check(self) -> bool:
        return await self._database.is_reachable()

    async def reset(self) -> int | None:
        async with self._database.unit_of_work() as session:
            await session.execute(sa.delete(RateLimit))
        return None

    async def clear(self, key: str) -> None:
        async with self._database.unit_of_work() as session:
            await session.execute(
                sa.delete(RateLimit).where(RateLimit.key == _shortened(key))
            )


def _shortened(key: str) -> str:
    # The library's keys have any length, the column has 64 characters.
    return hashlib.sha256(key.encode()).hexdigest()

"""The outcomes that are kept under idempotency keys: see `bedplate.idempotency`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import ForeignKey, String, Text, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.core.clock import utc_now
from bedplate.core.errors import IdempotencyInProgress, IdempotencyKeyReused
from bedplate.database import Base, Query, Session, UTCDateTime

KEPT_FOR = timedelta(hours=24)


class IdempotencyKey(Base):
    """The outcome of a request that came with a key."""

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Outcome(msgspec.Struct, frozen=True):
    """An answer that was given."""

    request_hash: str
    status: int
    headers: dict[str, str]
    body: str


_FIND = Query(
    select(
        IdempotencyKey.request_hash,
        IdempotencyKey.status,
        IdempotencyKey.headers,
        IdempotencyKey.body,
    ).where(
        IdempotencyKey.key_hash == bindparam("key_hash", type_=String()),
        IdempotencyKey.expires_at > bindparam("now", type_=UTCDateTime()),
    ),
    Outcome,
)


class Attempt(NamedTuple):
    """A request that came with a key. It holds digests only."""

    user_id: UUID
    key_hash: str
    request_hash: str

    @classmethod
    def of(
        cls, user_id: UUID, method: str, path: str, key: str, sent: bytes
    ) -> "Attempt":
        """`sent` is all that makes the request another one."""
        scope = "\0".join((str(user_id), method, path, key))
        key_hash = sha256(scope.encode()).hexdigest()
        return cls(user_id, key_hash, sha256(sent).hexdigest())

    async def begin(self, session: Session) -> Outcome | None:
        """Hold the key until the unit of work ends; what came of it before, if it was.

        Raises:
            IdempotencyInProgress: another holds it.
            IdempotencyKeyReused: it was used with another request.
        """
        if not await session.try_lock(self._lock_number):
            raise IdempotencyInProgress
        kept = await session.fetch_one(_FIND, key_hash=self.key_hash, now=utc_now())
        if kept is not None and kept.request_hash != self.request_hash:
            raise IdempotencyKeyReused
        return kept

    @property
    def _lock_number(self) -> int:
        digest = blake2b(self.key_hash.encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)

    async def keep(
        self, session: Session, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Write the outcome down, in the transaction of what it tells of.

        Raises:
            IdempotencyInProgress: another wrote its own first (on SQLite, of another
                process, whose lock isn't seen here).
        """
        is_this = IdempotencyKey.key_hash == self.key_hash
        is_over = IdempotencyKey.expires_at <= utc_now()
        await session.execute(sa.delete(IdempotencyKey).where(is_this, is_over))
        await session.insert(
            IdempotencyKey(
                **self._asdict(),
                status=status,
                headers=dict(headers),
                body=body.decode(),
                expires_at=utc_now() + KEPT_FOR,
            )
        )

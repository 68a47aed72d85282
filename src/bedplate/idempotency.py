"""The outcomes that are kept under idempotency keys: see `bedplate.api.idempotency`."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import ForeignKey, String, Text, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.errors import (
    Detail,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ValidationFailed,
)
from bedplate.database import Base, Query, Session, UTCDateTime

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
RETENTION = timedelta(hours=24)
_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# What says nothing about the request itself, and may be otherwise the next time.
_PASSING = {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}


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


class StoredResponse(msgspec.Struct, frozen=True):
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
    StoredResponse,
)


class IdempotentRequest(NamedTuple):
    """A request that came with a key. It holds digests only."""

    user_id: UUID
    key_hash: str
    request_hash: str

    @classmethod
    def of(
        cls, caller: Caller | None, method: str, path: str, key: str | None, sent: bytes
    ) -> "IdempotentRequest | None":
        """None without a key, and for a stranger, who would share it with everybody.

        `sent` is all that makes the request another one.

        Raises:
            ValidationFailed: the key is no key.
        """
        if key is None:
            return None
        if not _VALID_KEY.fullmatch(key):
            told = "A key is 1 to 255 visible ASCII characters"
            raise ValidationFailed(details=[Detail(f"header.{HEADER}", told)])
        if caller is None:
            return None
        scope = "\0".join((str(caller.id), method, path, key))
        key_hash = sha256(scope.encode()).hexdigest()
        return cls(caller.id, key_hash, sha256(sent).hexdigest())

    async def begin(self, session: Session) -> StoredResponse | None:
        """Hold the key until the unit of work ends; return what came of it before.

        Requests of this process are told apart at once; between processes the key's
        row decides, which `keep` writes.

        Raises:
            IdempotencyInProgress: another holds it.
            IdempotencyKeyReused: it was used with another request.
        """
        if not session.try_lock(self._lock_number):
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
            IdempotencyInProgress: another process wrote its own first.
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
                expires_at=utc_now() + RETENTION,
            )
        )


def is_stored(error: Exception, status: int) -> bool:
    """Whether a refusal is an outcome too.

    Nothing is kept of what may pass (401, 429) or is ours to mend (500 and above).
    """
    if isinstance(error, IdempotencyInProgress | IdempotencyKeyReused):
        return False
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING

"""`Idempotency-Key`: responses stored under a key, for both frameworks.

A creating POST that is sent twice with one key runs once; the repeat gets the first
response. It is stored for 24 hours by caller, method, path and key, and committed with
the write itself: after a crash between the write and the response, the repeat gets the
response. Follows the IETF's draft-ietf-httpapi-idempotency-key-header.
"""

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
# Errors that say nothing about the request itself and may be gone the next time.
_TRANSIENT = {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}


class IdempotencyKey(Base):
    """The response to a request with a key."""

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
    """A response as it was sent."""

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
    """A request with a key. It holds digests only."""

    user_id: UUID
    key_hash: str
    request_hash: str

    @classmethod
    def of(
        cls,
        caller: Caller | None,
        method: str,
        path: str,
        key: str | None,
        content: bytes,
    ) -> "IdempotentRequest | None":
        """Return the request, or None without a key or without a caller.

        Callers who are not signed in would share their keys. `content` is everything
        that distinguishes the request from another one with the same key.

        Raises:
            ValidationFailed: the key is not 1 to 255 visible ASCII characters.
        """
        if key is None:
            return None
        if not _VALID_KEY.fullmatch(key):
            message = "A key is 1 to 255 visible ASCII characters"
            raise ValidationFailed(details=[Detail(f"header.{HEADER}", message)])
        if caller is None:
            return None
        scope = "\0".join((str(caller.id), method, path, key))
        key_hash = sha256(scope.encode()).hexdigest()
        return cls(caller.id, key_hash, sha256(content).hexdigest())

    async def lock(self, session: Session) -> StoredResponse | None:
        """Lock the key until the unit of work ends. Return a stored response, if any.

        The lock holds within this process. Between processes the primary key decides,
        when `store` inserts the row.

        Raises:
            IdempotencyInProgress: another request holds the key.
            IdempotencyKeyReused: the key was used with another request.
        """
        if not session.try_lock(self._lock_number):
            raise IdempotencyInProgress
        stored = await session.fetch_one(_FIND, key_hash=self.key_hash, now=utc_now())
        if stored is not None and stored.request_hash != self.request_hash:
            raise IdempotencyKeyReused
        return stored

    @property
    def _lock_number(self) -> int:
        digest = blake2b(self.key_hash.encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)

    async def store(
        self, session: Session, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Store the response, in the transaction of the write that it reports.

        Raises:
            IdempotencyInProgress: another process stored a response first.
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
    """Return whether an error response is stored for the repeat.

    Errors that may be gone the next time (401, 429) are not, nor are faults of the
    service (500 and above).
    """
    if isinstance(error, IdempotencyInProgress | IdempotencyKeyReused):
        return False
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRANSIENT

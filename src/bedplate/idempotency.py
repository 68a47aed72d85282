"""`Idempotency-Key`: a creating POST that is sent twice is done once.

The outcome is kept for 24 hours by caller, method, path and key, and commits with the
write itself: after a crash between the write and the answer the repeat gets the
answer. After the IETF's draft-ietf-httpapi-idempotency-key-header.
"""

import inspect
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from hashlib import blake2b, sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import ForeignKey, String, Text, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column
from starlette.requests import Request
from starlette.responses import Response

from bedplate.core.clock import utc_now
from bedplate.core.errors import (
    APIError,
    Detail,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ValidationFailed,
)
from bedplate.core.permissions import Caller
from bedplate.database import Base, Query, Session, UTCDateTime
from bedplate.dependencies import BearerCaller, SessionDep, runtime_of
from bedplate.middleware.errors import render

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_FOR = timedelta(hours=24)
_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# What says nothing about the request itself, and may be otherwise the next time.
_PASSING = {401, 429}
_PASSING_CODES = (IdempotencyInProgress.code, IdempotencyKeyReused.code)


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


class _Outcome(msgspec.Struct, frozen=True):
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
    _Outcome,
)


class _Attempt(NamedTuple):
    """A request that came with a key."""

    user_id: UUID
    key_hash: str
    request_hash: str

    @classmethod
    async def of(cls, request: Request, caller: Caller) -> "_Attempt | None":
        """None without a key.

        Raises:
            ValidationFailed: the key is no key.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return None
        if not _VALID_KEY.fullmatch(key):
            told = "A key is 1 to 255 visible ASCII characters"
            raise ValidationFailed(details=[Detail(f"header.{HEADER}", told)])
        scope = (str(caller.id), request.method, request.url.path, key)
        sent = request.url.query.encode() + b"\0" + await request.body()
        key_hash = sha256("\0".join(scope).encode()).hexdigest()
        return cls(caller.id, key_hash, sha256(sent).hexdigest())

    @property
    def lock(self) -> int:
        digest = blake2b(self.key_hash.encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)

    async def find(self, session: Session) -> Response | None:
        """The answer that was given before.

        Raises:
            IdempotencyKeyReused: to another request.
        """
        kept = await session.fetch_one(_FIND, key_hash=self.key_hash, now=utc_now())
        if kept is None:
            return None
        if kept.request_hash != self.request_hash:
            raise IdempotencyKeyReused
        headers = {**kept.headers, REPLAYED: "true"}
        return Response(kept.body, kept.status, headers=headers)

    async def keep(self, session: Session, response: Response) -> None:
        """Write the outcome down, in the transaction of what it tells of."""
        expired = sa.delete(IdempotencyKey).where(
            IdempotencyKey.key_hash == self.key_hash
        )
        await session.execute(expired)
        headers = dict(response.headers)
        headers.pop("content-length", None)
        await session.insert(
            IdempotencyKey(
                **self._asdict(),
                status=response.status_code,
                headers=headers,
                body=bytes(response.body).decode(),
                expires_at=utc_now() + KEPT_FOR,
            )
        )


Respond = Callable[[Request, Any, Response | None], Response]


def once(endpoint: Callable[..., Any], respond: Respond) -> Callable[..., Any]:
    """The endpoint, done once for each key, if it knows a caller; else as it is."""
    signature = inspect.signature(endpoint, eval_str=True)
    caller_name = _caller_name(signature)
    if caller_name is None:
        return endpoint
    names = _names(signature)
    added = {names.request, names.session} - signature.parameters.keys()

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        request, session = values[names.request], values[names.session]
        caller: Caller | None = values[caller_name]
        own = {name: value for name, value in values.items() if name not in added}
        attempt = await _Attempt.of(request, caller) if caller else None
        if attempt is None:
            return await endpoint(**own)
        if not await session.try_lock(attempt.lock):
            raise IdempotencyInProgress
        if replay := await attempt.find(session):
            return replay
        answer = await endpoint(**own)
        response = respond(request, answer, values.get(names.response or ""))
        await attempt.keep(session, response)
        return response

    run.__signature__ = _with_parameters(signature, names)  # type: ignore[attr-defined]
    return run


class _Names(NamedTuple):
    """What an endpoint calls its request, its session and its response."""

    request: str
    session: str
    response: str | None


def _names(signature: inspect.Signature) -> _Names:
    by_type = {p.annotation: name for name, p in signature.parameters.items()}
    return _Names(
        by_type.get(Request, "idempotent_request"),
        by_type.get(SessionDep, "idempotent_session"),
        by_type.get(Response),
    )


def _with_parameters(signature: inspect.Signature, names: _Names) -> inspect.Signature:
    wanted = {names.request: Request, names.session: SessionDep}
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(kind=keyword) for p in signature.parameters.values()]
    parameters += [
        inspect.Parameter(name, keyword, annotation=annotation)
        for name, annotation in wanted.items()
        if name not in signature.parameters
    ]
    return signature.replace(parameters=parameters)


def _caller_name(signature: inspect.Signature) -> str | None:
    for name, parameter in signature.parameters.items():
        for metadata in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(getattr(metadata, "dependency", None), BearerCaller):
                return name
    return None


async def keep_refusal(request: Request, refusal: Response) -> Response:
    """A refusal is an outcome too: kept for the repeat, after its rollback.

    Nothing is kept of what may pass (401, 429) or is ours to mend (500 and above).
    """
    caller: Caller | None = request.scope.get("caller")
    route = request.scope.get("route")
    if caller is None or not getattr(route, "creates", False):
        return refusal
    if not _is_lasting(refusal):
        return refusal
    try:
        return await _settle(request.scope["request"], caller, refusal)
    except APIError as error:
        return render(error)


def _is_lasting(refusal: Response) -> bool:
    passing = refusal.status_code in _PASSING or refusal.status_code >= 500  # noqa: PLR2004
    return not passing and not any(c.encode() in refusal.body for c in _PASSING_CODES)


async def _settle(request: Request, caller: Caller, refusal: Response) -> Response:
    attempt = await _Attempt.of(request, caller)
    if attempt is None:
        return refusal
    async with runtime_of(request).database.unit_of_work() as session:
        if not await session.try_lock(attempt.lock):
            raise IdempotencyInProgress
        if replay := await attempt.find(session):
            return replay
        await attempt.keep(session, refusal)
    return refusal

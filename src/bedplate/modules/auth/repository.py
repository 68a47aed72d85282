from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from bedplate.caller import SignedIn
from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.core.security import hash_token, new_token
from bedplate.database import (
    Base,
    Query,
    Repository,
    Session,
    UTCDateTime,
    ValueQuery,
    columns_of,
)
from bedplate.idempotency import IdempotencyKey
from bedplate.limits import RateLimit
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.auth.models import OneTimeToken, RefreshToken, SigningKey
from bedplate.modules.users.models import User, UserSession

# One statement for each request: the session is live, its user active, and their data.
FIND_CALLER = Query(
    select(*columns_of(SignedIn, User, session_id=UserSession.id))
    .join(User, User.id == UserSession.user_id)
    .where(
        UserSession.id == bindparam("session_id", type_=sa.Uuid()),
        User.id == bindparam("user_id", type_=sa.Uuid()),
        UserSession.expires_at > bindparam("now", type_=UTCDateTime()),
        User.is_active,
    ),
    SignedIn,
)


class LastUse(msgspec.Struct, frozen=True):
    """The start and the last use of a session."""

    created_at: datetime
    last_used_at: datetime


FIND_LAST_USE = Query(
    select(*columns_of(LastUse, UserSession)).where(
        UserSession.id == bindparam("session_id", type_=sa.Uuid())
    ),
    LastUse,
)


class Account(msgspec.Struct, frozen=True):
    """The fields of an account that sign-in reads before the password is verified."""

    id: UUID
    hashed_password: str
    security_version: int


FIND_ACCOUNT = Query(
    select(*columns_of(Account, User)).where(User.email == bindparam("email")),
    Account,
)


FIND_SESSION_OF_TOKEN = ValueQuery(
    select(RefreshToken.session_id).where(
        RefreshToken.token_hash == bindparam("token_hash")
    )
)


class RefreshTokenRepository(Repository[RefreshToken]):
    model = RefreshToken

    async def find_session_id(self, token: str) -> UUID | None:
        return await self.session.fetch_value(
            FIND_SESSION_OF_TOKEN, token_hash=hash_token(token)
        )

    async def get_by_token(self, token: str) -> RefreshToken | None:
        return await self.get(hash_token(token))

    async def issue(self, session: UserSession) -> str:
        """Create a live token of the session's present generation."""
        token = new_token()
        await self.add(
            RefreshToken(
                token_hash=hash_token(token),
                session_id=session.id,
                generation=session.generation,
            )
        )
        return token

    async def spend_all(self, session_id: UUID, now: datetime) -> None:
        """Mark every live token of a session as spent."""
        await self.session.execute(
            sa.update(RefreshToken)
            .where(
                RefreshToken.session_id == session_id, RefreshToken.spent_at.is_(None)
            )
            .values(spent_at=now)
        )


class TokenOwner(msgspec.Struct, frozen=True):
    """The account that a one-time token belongs to."""

    user_id: UUID
    email: str
    name: str


FIND_TOKEN_OWNER = Query(
    select(*columns_of(TokenOwner, User, user_id=User.id))
    .join(OneTimeToken, OneTimeToken.user_id == User.id)
    .where(
        User.security_version == OneTimeToken.security_version,
        OneTimeToken.token_hash == bindparam("token_hash"),
        OneTimeToken.purpose == bindparam("purpose"),
        OneTimeToken.expires_at > bindparam("now", type_=UTCDateTime()),
    ),
    TokenOwner,
)


class TakenToken(NamedTuple):
    """The data of a one-time token that was used up."""

    user_id: UUID
    email: str
    security_version: int


class OneTimeTokenRepository(Repository[OneTimeToken]):
    model = OneTimeToken

    async def mint(
        self, user: User, purpose: str, email: str, lifetime: timedelta
    ) -> str:
        """Return a new token, which voids the account's older one of this purpose.

        It is bound to the account's present `security_version`.
        """
        await self.session.execute(
            sa.delete(OneTimeToken).where(
                OneTimeToken.user_id == user.id, OneTimeToken.purpose == purpose
            )
        )
        token = new_token()
        await self.add(
            OneTimeToken(
                user_id=user.id,
                purpose=purpose,
                token_hash=hash_token(token),
                email=email,
                security_version=user.security_version,
                expires_at=utc_now() + lifetime,
            )
        )
        return token

    async def find_owner(self, token: str, purpose: str) -> TokenOwner | None:
        """Return the owner of a token that `take` would find, without using it up."""
        return await self.session.fetch_one(
            FIND_TOKEN_OWNER,
            token_hash=hash_token(token),
            purpose=str(purpose),
            now=utc_now(),
        )

    async def take(self, token: str, purpose: str) -> TakenToken | None:
        """Use up a token and return its data.

        One conditional statement: of two requests at once only one gets it.
        """
        result = await self.session.execute(
            sa.delete(OneTimeToken)
            .where(
                OneTimeToken.token_hash == hash_token(token),
                OneTimeToken.purpose == purpose,
                OneTimeToken.expires_at > utc_now(),
            )
            .returning(
                OneTimeToken.user_id, OneTimeToken.email, OneTimeToken.security_version
            )
        )
        row = result.first()
        return None if row is None else TakenToken(*row)


_IS_USABLE = sa.and_(
    SigningKey.algorithm == bindparam("algorithm", type_=sa.String()),
    sa.or_(
        SigningKey.retires_at.is_(None),
        SigningKey.retires_at > bindparam("now", type_=UTCDateTime()),
    ),
)
# The keys to sign with first, the newest of them in front.
_SIGNING_FIRST = (
    SigningKey.retires_at.is_not(None),
    SigningKey.created_at.desc(),
    SigningKey.kid,
)
FIND_KEY_NAMES = ValueQuery(
    select(SigningKey.kid).where(_IS_USABLE).order_by(*_SIGNING_FIRST)
)


_KEYS_LOCK = 0xBED_5161  # any constant: one change to the set of keys at a time


class SigningKeyRepository(Repository[SigningKey]):
    model = SigningKey

    async def lock_all(self) -> None:
        """Let changes to the set of keys follow one another, until this one ends.

        Row locks alone deadlock: two rotations may lock old and new keys in another
        order. SQLite needs no lock for this: its writers follow one another.
        """
        if self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(
                select(sa.func.pg_advisory_xact_lock(_KEYS_LOCK))
            )

    async def usable_names(self, algorithm: str, now: datetime) -> list[str]:
        """Return the names of the usable keys, in the order of `usable`."""
        return await self.session.fetch_values(
            FIND_KEY_NAMES, algorithm=algorithm, now=now
        )

    async def usable(
        self, algorithm: str, now: datetime, *, lock: bool = False
    ) -> Sequence[SigningKey]:
        """Return the keys whose tokens are accepted, the one to sign with first."""
        query = select(SigningKey).where(_IS_USABLE).order_by(*_SIGNING_FIRST)
        if lock:
            query = query.with_for_update()
        values = {"algorithm": algorithm, "now": now}
        return (await self.session.scalars(query, values)).all()

    async def list_all(self, *, lock: bool = False) -> Sequence[SigningKey]:
        """Return every stored key, newest first."""
        query = select(SigningKey).order_by(
            SigningKey.created_at.desc(), SigningKey.kid
        )
        if lock:
            query = query.with_for_update()
        return (await self.session.scalars(query)).all()


async def delete_expired(
    session: Session, settings: Settings, now: datetime, *, limit: int
) -> bool:
    """Delete at most `limit` expired rows of each kind. Return whether there were any.

    A spent refresh token is stored as long as it could have been used: until then its
    reuse means that it was stolen.
    """
    idle = timedelta(days=settings.refresh_idle_days)
    expired: tuple[tuple[type[Base], sa.ColumnElement[bool]], ...] = (
        (UserSession, UserSession.expires_at <= now),
        (RefreshToken, RefreshToken.spent_at <= now - idle),
        (OneTimeToken, OneTimeToken.expires_at <= now),
        (RateLimit, RateLimit.expires_at <= now),
        (IdempotencyKey, IdempotencyKey.expires_at <= now),
        (AuditEvent, AuditEvent.is_over(now)),
        (SigningKey, SigningKey.retires_at <= now),
    )
    deleted = 0
    for model, condition in expired:
        key = sa.inspect(model).primary_key[0]
        batch = select(key).where(condition).limit(limit)
        done = await session.execute(sa.delete(model).where(key.in_(batch)))
        deleted += getattr(done, "rowcount", 0)
    return deleted > 0

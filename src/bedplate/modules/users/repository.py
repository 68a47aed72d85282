from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from bedplate.core.clock import utc_now
from bedplate.core.permissions import ADMIN
from bedplate.database import (
    ListQuery,
    Query,
    Repository,
    UTCDateTime,
    ValueQuery,
    columns_of,
)
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.schemas import (
    SessionResponse,
    UserListParams,
    UserListResponse,
    UserResponse,
)
from bedplate.schemas import Page

MAX_LISTED_SESSIONS = 200  # the most recently used ones
USERS = select(*columns_of(UserResponse, User))
FIND_USER = Query(
    USERS.where(User.id == bindparam("user_id", type_=sa.Uuid())), UserResponse
)
# The version that links in emails are bound to.
FIND_SECURITY_VERSION = ValueQuery(
    select(User.security_version).where(User.email == bindparam("email"))
)
LIST_USERS = ListQuery(
    USERS, UserListResponse, UserListParams, search=(User.email, User.name)
)
IS_CURRENT = UserSession.id == bindparam("current_id", type_=sa.Uuid())
LIST_SESSIONS = Query(
    select(*columns_of(SessionResponse, UserSession, current=IS_CURRENT))
    .where(
        UserSession.user_id == bindparam("user_id", type_=sa.Uuid()),
        UserSession.expires_at > bindparam("now", type_=UTCDateTime()),
    )
    .order_by(UserSession.last_used_at.desc(), UserSession.id.desc())
    .limit(MAX_LISTED_SESSIONS),
    SessionResponse,
)
ADMIN_LOCK = 0xBED_AD11  # any constant: one change to the set of admins at a time


class UserRepository(Repository[User]):
    model = User

    async def find(self, user_id: UUID) -> UserResponse | None:
        return await self.session.fetch_one(FIND_USER, user_id=user_id)

    async def list_page(self, params: UserListParams) -> Page[UserResponse]:
        return await self.session.fetch_page(LIST_USERS, params)

    async def get_by_email(self, email: str) -> User | None:
        query = select(User).where(User.email == email)
        return (await self.session.scalars(query)).one_or_none()

    async def find_security_version(self, email: str) -> int | None:
        """Return the version of the account with an address; None for no account."""
        return await self.session.fetch_value(FIND_SECURITY_VERSION, email=email)

    async def void_links(self, user_id: UUID) -> None:
        """Void every emailed link, and every request for one, from before now.

        `updated_at` stays: no field that the account shows has changed.
        """
        await self.session.execute(
            sa.update(User)
            .where(User.id == user_id)
            .values(
                security_version=User.security_version + 1, updated_at=User.updated_at
            )
            .execution_options(synchronize_session=False)
        )

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Return whether another active admin exists, until this transaction ends.

        SQLite needs no lock for this: its writers follow one another.
        """
        if self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(
                select(sa.func.pg_advisory_xact_lock(ADMIN_LOCK))
            )
        others = select(User.id).where(
            User.role == ADMIN, User.is_active, User.id != user_id
        )
        return (await self.session.scalars(others.limit(1))).first() is not None


class SessionRepository(Repository[UserSession]):
    model = UserSession

    async def list_of(
        self, user_id: UUID, current_id: UUID | None
    ) -> list[SessionResponse]:
        return await self.session.fetch_all(
            LIST_SESSIONS, user_id=user_id, current_id=current_id, now=utc_now()
        )

    async def note_use(
        self, session_id: UUID, now: datetime, expires_at: datetime
    ) -> None:
        """Record the use of a session, unless it ended or was used since."""
        await self.session.execute(
            sa.update(UserSession)
            .where(
                UserSession.id == session_id,
                UserSession.expires_at > now,
                UserSession.last_used_at < now,
            )
            .values(last_used_at=now, expires_at=expires_at)
        )

    async def delete_of(
        self,
        user_id: UUID,
        *,
        only: UUID | None = None,
        but: UUID | None = None,
    ) -> int:
        """End all sessions of an account, `only` one, or all `but` one.

        Return how many ended.
        """
        statement = sa.delete(UserSession).where(UserSession.user_id == user_id)
        if only is not None:
            statement = statement.where(UserSession.id == only)
        if but is not None:
            statement = statement.where(UserSession.id != but)
        result = await self.session.execute(statement)
        return int(getattr(result, "rowcount", 0))

    async def delete_surplus(self, newest: UserSession, limit: int) -> int:
        """End all but the `limit` most recently used sessions. Return the count.

        `newest` is never ended. Expired sessions don't count.
        """
        others = (UserSession.user_id == newest.user_id, UserSession.id != newest.id)
        used_last = (
            select(UserSession.id)
            .where(*others, UserSession.expires_at > utc_now())
            .order_by(UserSession.last_used_at.desc(), UserSession.id.desc())
        )
        surplus = (await self.session.scalars(used_last.offset(limit - 1))).all()
        if not surplus:
            return 0
        statement = sa.delete(UserSession).where(UserSession.id.in_(surplus))
        await self.session.execute(statement)
        return len(surplus)

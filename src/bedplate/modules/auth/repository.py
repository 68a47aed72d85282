from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from bedplate.core.permissions import Caller
from bedplate.database import Query, Repository, UTCDateTime
from bedplate.modules.auth.models import UserSession
from bedplate.modules.users.models import User

# One statement a request: the session lives, its user is active, and who that is.
FIND_CALLER = Query(
    select(
        User.id,
        User.email,
        User.name,
        User.role,
        User.is_active,
        User.email_verified,
        User.created_at,
        User.updated_at,
        UserSession.id.label("session_id"),
    )
    .join(User, User.id == UserSession.user_id)
    .where(
        UserSession.id == bindparam("session_id", type_=sa.Uuid()),
        User.id == bindparam("user_id", type_=sa.Uuid()),
        UserSession.expires_at > bindparam("now", type_=UTCDateTime()),
        User.is_active,
    ),
    Caller,
)


class Account(msgspec.Struct, frozen=True):
    """What sign-in needs to know of an account before it has a password to believe."""

    id: UUID
    hashed_password: str


FIND_ACCOUNT = Query(
    select(User.id, User.hashed_password).where(User.email == bindparam("email")),
    Account,
)


class SessionRepository(Repository[UserSession]):
    model = UserSession

    async def find_account(self, email: str) -> Account | None:
        return await self.session.fetch_one(FIND_ACCOUNT, email=email)

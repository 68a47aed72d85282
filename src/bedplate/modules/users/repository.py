from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from bedplate.core.permissions import ADMIN
from bedplate.database import ListQuery, Page, Query, Repository
from bedplate.modules.users.models import User
from bedplate.modules.users.schemas import (
    UserListParams,
    UserListResponse,
    UserResponse,
)

USER_COLUMNS = (
    User.id,
    User.email,
    User.name,
    User.role,
    User.is_active,
    User.email_verified,
    User.created_at,
    User.updated_at,
)
FIND_USER = Query(
    select(*USER_COLUMNS).where(User.id == bindparam("user_id", type_=sa.Uuid())),
    UserResponse,
)
LIST_USERS = ListQuery(
    select(*USER_COLUMNS),
    UserListResponse,
    UserListParams,
    sort=(User.created_at, User.email, User.name),
    filters=(User.role, User.is_active),
    search=(User.email, User.name),
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

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Whether an active admin besides this one exists, and stays one until we end.

        SQLite needs no lock for it: its writers follow one another.
        """
        if self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(
                select(sa.func.pg_advisory_xact_lock(ADMIN_LOCK))
            )
        others = select(User.id).where(
            User.role == ADMIN, User.is_active, User.id != user_id
        )
        return (await self.session.scalars(others.limit(1))).first() is not None

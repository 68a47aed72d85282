from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bedplate.config import Settings
from bedplate.core.errors import Detail, PermissionDenied, ValidationFailed
from bedplate.core.permissions import ADMIN, USER, Caller
from bedplate.core.security import hash_password
from bedplate.database import Page, Session
from bedplate.jobs import enqueue
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.errors import LastAdmin, SignupClosed, UserNotFound
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import UserRepository
from bedplate.modules.users.schemas import (
    UserCreate,
    UserListParams,
    UserResponse,
    UserUpdate,
)


class UserService:
    """Every rule about accounts. A `caller` of None is a stranger."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.users = UserRepository(session)
        self.settings = settings

    async def register(self, data: UserCreate, caller: Caller | None) -> User:
        """Make an account, and welcome it by mail.

        Raises:
            ValidationFailed: the role is not configured.
            SignupClosed: a stranger or a user, while sign-up is closed.
            PermissionDenied: a role other than the default, from anyone but an admin.
            EmailTaken: whatever its case was.
        """
        self._check_role(data.role, "body.role")
        if caller is None or not caller.is_admin:
            self._check_signup(data.role)
        user = await self.create(data)
        await self._welcome(user)
        return user

    async def _welcome(self, user: User) -> None:
        context = {"name": user.name}
        await enqueue(
            self.users.session,
            send_email,
            template="welcome",
            to=user.email,
            context=context,
        )

    def _check_signup(self, role: str) -> None:
        if self.settings.signup == "closed":
            raise SignupClosed
        if role != USER:
            raise PermissionDenied("Only an admin gives out roles")

    async def create(self, data: UserCreate) -> User:
        """Make an account without asking who wants it: the command line's way.

        Raises:
            ValidationFailed: the role is not configured.
            EmailTaken: whatever its case was.
        """
        self._check_role(data.role, "body.role")
        # Hashed before the transaction begins, which on SQLite holds the write lock.
        hashed_password = await hash_password(data.password)
        return await self.users.add(
            User(
                email=data.email,
                name=data.name,
                role=data.role,
                hashed_password=hashed_password,
            )
        )

    async def get(self, user_id: UUID, caller: Caller) -> UserResponse:
        """An account, for itself or an admin.

        Raises:
            UserNotFound: another's too, so that ids can't be probed.
        """
        self._check_visible(user_id, caller)
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def list_page(self, params: UserListParams) -> Page[UserResponse]:
        """A page of accounts.

        Raises:
            ValidationFailed: the role is not configured.
            InvalidCursor: the cursor is of another list or order.
        """
        if params.role is not None:
            self._check_role(params.role, "query.role")
        return await self.users.list_page(params)

    async def update(self, user_id: UUID, data: UserUpdate, caller: Caller) -> User:
        """Change an account: an admin all of it, oneself the name.

        Raises:
            UserNotFound: another's too.
            PermissionDenied: one's own email or role, without being an admin.
            ValidationFailed: the role is not configured.
            EmailTaken, LastAdmin
        """
        self._check_visible(user_id, caller)
        changes = data.changes()
        if not caller.is_admin and not changes.keys() <= {"name"}:
            raise PermissionDenied("Only an admin changes an email or a role")
        return await self.change(user_id, changes)

    async def change(self, user_id: UUID, changes: Mapping[str, Any]) -> User:
        """Set these attributes of an account, whoever asks.

        Raises:
            UserNotFound, ValidationFailed, EmailTaken, LastAdmin
        """
        if "role" in changes:
            self._check_role(changes["role"], "body.role")
        user = await self._get_locked(user_id)
        if changes.get("role", ADMIN) != ADMIN:
            await self._keep_an_admin(user)
        if changes.get("email", user.email) != user.email:
            user.email_verified_at = None
        for name, value in changes.items():
            setattr(user, name, value)
        return await self.users.save(user)

    async def activate(self, user_id: UUID) -> User:
        """Let an account in again; twice changes nothing.

        Raises:
            UserNotFound
        """
        user = await self._get_locked(user_id)
        user.is_active = True
        return await self.users.save(user)

    async def deactivate(self, user_id: UUID) -> User:
        """Shut an account out, from its next request on; twice changes nothing.

        Raises:
            UserNotFound, LastAdmin
        """
        user = await self._get_locked(user_id)
        await self._keep_an_admin(user)
        user.is_active = False
        return await self.users.save(user)

    async def set_password(self, user_id: UUID, password: str) -> User:
        """Replace a password, whoever asks.

        Raises:
            UserNotFound
        """
        hashed_password = await hash_password(password)
        user = await self._get_locked(user_id)
        user.hashed_password = hashed_password
        return await self.users.save(user)

    async def delete(self, user_id: UUID, caller: Caller) -> None:
        """Remove an account and, in the database, all that is its own.

        Raises:
            UserNotFound: another's too, for anyone but an admin.
            LastAdmin
        """
        self._check_visible(user_id, caller)
        user = await self._get_locked(user_id)
        await self._keep_an_admin(user)
        await self.users.delete(user)

    async def get_by_email(self, email: str) -> User:
        """The account of an address.

        Raises:
            UserNotFound
        """
        user = await self.users.get_by_email(email)
        if user is None:
            raise UserNotFound
        return user

    async def _get_locked(self, user_id: UUID) -> User:
        user = await self.users.get(user_id, lock=True)
        if user is None:
            raise UserNotFound
        return user

    async def _keep_an_admin(self, user: User) -> None:
        """Refuse to lose the last active admin, also when two would go at once."""
        if user.role != ADMIN or not user.is_active:
            return
        if not await self.users.has_other_admin(user.id):
            raise LastAdmin

    def _check_visible(self, user_id: UUID, caller: Caller) -> None:
        if not caller.is_admin and caller.id != user_id:
            raise UserNotFound

    def _check_role(self, role: str, field: str) -> None:
        if role not in self.settings.roles:
            configured = ", ".join(self.settings.roles)
            message = f"A role is one of: {configured}"
            raise ValidationFailed(details=[Detail(field, message)])

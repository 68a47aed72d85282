from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bedplate.core.errors import Detail, NotFound, PermissionDenied, ValidationFailed
from bedplate.core.origin import client_block
from bedplate.core.permissions import ADMIN, USER, Caller
from bedplate.core.preconditions import IfMatch
from bedplate.core.security import hash_password
from bedplate.database import Page, Session
from bedplate.jobs import enqueue
from bedplate.limits import hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.errors import LastAdmin, SignupClosed, UserNotFound
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.modules.users.schemas import (
    SessionListResponse,
    UserCreate,
    UserListParams,
    UserResponse,
    UserUpdate,
)
from bedplate.runtime import Runtime


class UserService:
    """Every rule about accounts. A `caller` of None is a stranger."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.audit = AuditService(session)
        self.settings = runtime.settings
        self.limits = runtime.limits
        self.passwords = runtime.passwords
        self.on_sign_up = [job for m in runtime.modules for job in m.on_sign_up]

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
            await self._check_signup(data.role)
        user = await self.create(data, caller.id if caller else None)
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
        for job in self.on_sign_up:
            await enqueue(self.users.session, job, email=user.email)

    async def _check_signup(self, role: str) -> None:
        if self.settings.signup == "closed":
            raise SignupClosed
        if role != USER:
            raise PermissionDenied("Only an admin gives out roles")
        limit = self.settings.limit_sign_ups_per_address
        await self.limits.count(hit(limit, "sign-up", client_block()))

    async def create(self, data: UserCreate, actor_id: UUID | None = None) -> User:
        """Make an account without asking who wants it: the command line's way.

        Raises:
            ValidationFailed: the role is not configured, or the password is too weak.
            EmailTaken: whatever its case was.
        """
        self._check_role(data.role, "body.role")
        # Before the transaction begins, which on SQLite holds the write lock.
        await self.check_new_password(data.password, data.email, data.name)
        hashed_password = await hash_password(data.password)
        user = await self.users.add(
            User(
                email=data.email,
                name=data.name,
                role=data.role,
                hashed_password=hashed_password,
            )
        )
        await self._record(Action.USER_CREATED, user, actor_id or user.id)
        return user

    async def check_new_password(
        self, password: str, email: str, name: str, field: str = "body.password"
    ) -> None:
        """Check a new password of the account with this address and name.

        No transaction may be under way: the check may wait for another service.

        Raises:
            ValidationFailed: it breaks rules; each is a detail of the field.
        """
        problems = await self.passwords.problems(password, email=email, name=name)
        if problems:
            details = [Detail(field, problem) for problem in problems]
            raise ValidationFailed(details=details)

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
        await self.check_params(params)
        return await self.users.list_page(params)

    async def check_params(self, params: UserListParams) -> None:
        """What only the settings know of a list's parameters.

        Raises:
            ValidationFailed: the role is not configured.
        """
        if params.role is not None:
            self._check_role(params.role, "query.role")

    async def update(
        self,
        user_id: UUID,
        data: UserUpdate,
        caller: Caller,
        if_match: IfMatch | None = None,
    ) -> User:
        """Change an account: an admin all of it, oneself the name.

        Raises:
            UserNotFound: another's too.
            PermissionDenied: one's own email or role, without being an admin.
            ValidationFailed: the role is not configured.
            EmailTaken, LastAdmin, PreconditionFailed
        """
        self._check_visible(user_id, caller)
        changes = data.changes()
        if not caller.is_admin and not changes.keys() <= {"name"}:
            raise PermissionDenied("Only an admin changes an email or a role")
        return await self.change(user_id, changes, caller.id, if_match)

    async def change(
        self,
        user_id: UUID,
        changes: Mapping[str, Any],
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Set these attributes of an account, whoever asks.

        Raises:
            UserNotFound, ValidationFailed, EmailTaken, LastAdmin, PreconditionFailed
        """
        if "role" in changes:
            self._check_role(changes["role"], "body.role")
        user = await self._get_locked(user_id, if_match)
        changed = {n: v for n, v in changes.items() if getattr(user, n) != v}
        if changed.get("role", ADMIN) != ADMIN:
            await self._keep_an_admin(user)
        if "email" in changed:
            user.email_verified_at = None
        for name, value in changed.items():
            setattr(user, name, value)
        await self.users.save(user)
        await self._record_change(user, changed, actor_id)
        return user

    async def _record_change(
        self, user: User, changed: Mapping[str, Any], actor_id: UUID | None
    ) -> None:
        if "role" in changed:
            await self._record(Action.ROLE_CHANGED, user, actor_id, role=user.role)
        if fields := sorted(changed.keys() - {"role"}):
            await self._record(Action.USER_UPDATED, user, actor_id, fields=fields)

    async def activate(
        self,
        user_id: UUID,
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Let an account in again; twice changes nothing.

        Raises:
            UserNotFound, PreconditionFailed
        """
        user = await self._get_locked(user_id, if_match)
        if not user.is_active:
            user.is_active = True
            await self._record(Action.USER_ACTIVATED, user, actor_id)
        return await self.users.save(user)

    async def deactivate(
        self,
        user_id: UUID,
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Shut an account out, from its next request on; twice changes nothing.

        Raises:
            UserNotFound, LastAdmin, PreconditionFailed
        """
        user = await self._get_locked(user_id, if_match)
        await self._keep_an_admin(user)
        if user.is_active:
            user.is_active = False
            await self.sessions.delete_of(user.id)
            await self._record(Action.USER_DEACTIVATED, user, actor_id)
        return await self.users.save(user)

    async def set_password(
        self, user_id: UUID, password: str, actor_id: UUID | None = None
    ) -> User:
        """Replace a password, whoever asks, and end all sessions.

        Raises:
            UserNotFound
            ValidationFailed: the password is too weak.
        """
        hashed_password = await self.hash_new_password(user_id, password)
        return await self.store_password(user_id, hashed_password, actor_id)

    async def hash_new_password(
        self,
        user_id: UUID,
        password: str,
        *,
        email: str | None = None,
        name: str | None = None,
    ) -> str:
        """Check and hash a new password, before a transaction begins.

        `email` and `name` are those that the account is about to get, if it is.

        Raises:
            UserNotFound
            ValidationFailed: the password is too weak.
        """
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        known_as = (email or user.email, name or user.name)
        await self.check_new_password(password, *known_as)
        return await hash_password(password)

    async def store_password(
        self, user_id: UUID, hashed_password: str, actor_id: UUID | None = None
    ) -> User:
        """Store what `hash_new_password` returned, and end all sessions.

        Raises:
            UserNotFound
        """
        user = await self._get_locked(user_id)
        user.hashed_password = hashed_password
        await self.sessions.delete_of(user.id)
        await self._record(Action.PASSWORD_CHANGED, user, actor_id)
        return await self.users.save(user)

    async def delete(
        self, user_id: UUID, caller: Caller, if_match: IfMatch | None = None
    ) -> None:
        """Remove an account and, in the database, all that is its own.

        Raises:
            UserNotFound: another's too, for anyone but an admin.
            LastAdmin, PreconditionFailed
        """
        self._check_visible(user_id, caller)
        user = await self._get_locked(user_id, if_match)
        await self._keep_an_admin(user)
        await self._record(Action.USER_DELETED, user, caller.id)
        await self.users.delete(user)

    async def list_sessions(self, user_id: UUID, caller: Caller) -> SessionListResponse:
        """Where an account is signed in.

        Raises:
            UserNotFound
        """
        await self.get(user_id, caller)
        items = await self.sessions.list_of(user_id, caller.session_id)
        return SessionListResponse(items)

    async def revoke_sessions(self, user_id: UUID, caller: Caller) -> None:
        """Sign an account out everywhere.

        Raises:
            UserNotFound
        """
        user = await self._get_locked(user_id)
        await self.sessions.delete_of(user.id)
        await self._record(Action.SESSIONS_REVOKED, user, caller.id)

    async def end_session(self, session_id: UUID, caller: Caller) -> None:
        """End one sign-in of anybody: an admin's way.

        Raises:
            NotFound
        """
        session = await self.sessions.get(session_id, lock=True)
        if session is None:
            raise NotFound
        user = await self._get_locked(session.user_id)
        await self.sessions.delete(session)
        revoked = str(session_id)
        await self._record(Action.SESSIONS_REVOKED, user, caller.id, session_id=revoked)

    async def get_by_email(self, email: str) -> User:
        """The account of an address.

        Raises:
            UserNotFound
        """
        user = await self.users.get_by_email(email)
        if user is None:
            raise UserNotFound
        return user

    async def _get_locked(self, user_id: UUID, if_match: IfMatch | None = None) -> User:
        user = await self.users.get(user_id, lock=True)
        if user is None:
            raise UserNotFound
        if if_match is not None:
            if_match.check(UserResponse.of(user))
        return user

    async def _keep_an_admin(self, user: User) -> None:
        """Refuse to lose the last active admin, also when two would go at once."""
        if user.role != ADMIN or not user.is_active:
            return
        if not await self.users.has_other_admin(user.id):
            raise LastAdmin

    async def _record(
        self, action: Action, user: User, actor_id: UUID | None, **details: Any
    ) -> None:
        await self.audit.record(
            action, actor_id=actor_id, subject_id=user.id, **details
        )

    def _check_visible(self, user_id: UUID, caller: Caller) -> None:
        if not caller.is_admin and caller.id != user_id:
            raise UserNotFound

    def _check_role(self, role: str, field: str) -> None:
        if role not in self.settings.roles:
            configured = ", ".join(self.settings.roles)
            message = f"A role is one of: {configured}"
            raise ValidationFailed(details=[Detail(field, message)])

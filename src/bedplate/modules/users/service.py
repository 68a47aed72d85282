from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bedplate.caller import Caller
from bedplate.core.errors import (
    Detail,
    InvalidCursor,
    NotFound,
    PermissionDenied,
    RateLimited,
    ValidationFailed,
    raises,
)
from bedplate.core.origin import client_block
from bedplate.core.permissions import ADMIN, USER
from bedplate.core.preconditions import IfMatch
from bedplate.core.security import hash_password
from bedplate.database import BrokenReference, Session
from bedplate.jobs import enqueue
from bedplate.limits import hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.errors import (
    EmailTaken,
    LastAdmin,
    SignupClosed,
    UserNotFound,
)
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
from bedplate.schemas import Page

# Changes that recover an account: they void the links from before.
_RECOVERIES = {"email", "hashed_password", "is_active"}


def _described(changed: Mapping[str, Any]) -> str:
    """Return sentences for the owner, without a value that is a secret."""
    sentences = {
        "email": "The email address was changed.",
        "hashed_password": "The password was changed, and you were signed out.",
        "role": f"The role is now: {changed.get('role')}.",
        "is_active": "The account was activated."
        if changed.get("is_active")
        else "The account was deactivated.",
    }
    return " ".join(text for name, text in sentences.items() if name in changed)


class UserService:
    """Rules for accounts. A `caller` of None is not signed in."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.audit = AuditService(session)
        self.settings = runtime.settings
        self.limits = runtime.limits
        self.passwords = runtime.passwords
        self.sign_up_jobs = runtime.sign_up_jobs

    @raises(SignupClosed, PermissionDenied, EmailTaken, RateLimited)
    async def register(self, data: UserCreate, caller: Caller | None) -> User:
        """Create an account and send it a welcome email.

        Raises:
            ValidationFailed: the role is not configured.
            SignupClosed: sign-up is closed and the caller is not an admin.
            PermissionDenied: only an admin chooses a role other than the default.
            EmailTaken: addresses are compared without case.
        """
        self._check_role(data.role, "body.role")
        if caller is None or not caller.is_admin:
            await self._check_signup(data.role)
        user = await self.create(data, caller.id if caller else None)
        await self._welcome(user)
        return user

    async def _welcome(self, user: User) -> None:
        # Without a name: a stranger may have entered it, with another person's address.
        await enqueue(
            self.users.session,
            send_email,
            template="welcome",
            to=user.email,
            context={},
        )
        for job in self.sign_up_jobs:
            await enqueue(self.users.session, job, email=user.email)

    async def _check_signup(self, role: str) -> None:
        if self.settings.signup == "closed":
            raise SignupClosed
        if role != USER:
            raise PermissionDenied("Only an admin can assign roles")
        limit = self.settings.limit_sign_ups_per_address
        await self.limits.count(hit(limit, "sign-up", client_block()))

    async def create(self, data: UserCreate, actor_id: UUID | None = None) -> User:
        """Create an account without checks of the caller, as the command line does.

        Raises:
            ValidationFailed: the role is not configured, or the password is too weak.
            EmailTaken: addresses are compared without case.
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

        No transaction may be open: the check may wait for another service.

        Raises:
            ValidationFailed: with a detail of the field for each broken rule.
        """
        problems = await self.passwords.problems(password, email=email, name=name)
        if problems:
            details = [Detail(field, problem) for problem in problems]
            raise ValidationFailed(details=details)

    @raises(UserNotFound)
    async def get(self, user_id: UUID, caller: Caller) -> UserResponse:
        """Return an account to its owner or an admin.

        Raises:
            UserNotFound: also for accounts of others, so that ids can't be probed.
        """
        self._check_visible(user_id, caller)
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        return user

    @raises(InvalidCursor)
    async def list_page(self, params: UserListParams) -> Page[UserResponse]:
        """Return one page of accounts.

        Raises:
            ValidationFailed: the role is not configured.
            InvalidCursor: the cursor belongs to another list or order.
        """
        await self.check_params(params)
        return await self.users.list_page(params)

    async def check_params(self, params: UserListParams) -> None:
        """Check the parameters of a list that depend on settings.

        Raises:
            ValidationFailed: the role is not configured.
        """
        if params.role is not None:
            self._check_role(params.role, "query.role")

    @raises(PermissionDenied, UserNotFound, EmailTaken, LastAdmin)
    async def update(
        self,
        user_id: UUID,
        data: UserUpdate,
        caller: Caller,
        if_match: IfMatch | None = None,
    ) -> User:
        """Change an account. Admins change every field, users their own name.

        Raises:
            UserNotFound: also for accounts of others.
            PermissionDenied: only admins change an email or a role, and nobody changes
                their own email here.
            ValidationFailed: the role is not configured.
            EmailTaken, LastAdmin, PreconditionFailed
        """
        self._check_visible(user_id, caller)
        changes = data.changes()
        self._check_may_change(user_id, changes, caller)
        return await self.change(user_id, changes, caller.id, if_match)

    async def update_as_admin(
        self, user_id: UUID, changes: Mapping[str, Any], caller: Caller
    ) -> User:
        """Change an account by the admin's form, which has `is_active` and a password.

        Raises:
            PermissionDenied: the caller's own email or password.
            UserNotFound, ValidationFailed, EmailTaken, LastAdmin
        """
        self._check_visible(user_id, caller)
        self._check_may_change(user_id, changes, caller)
        return await self.change(user_id, changes, caller.id)

    def _check_may_change(
        self, user_id: UUID, changes: Mapping[str, Any], caller: Caller
    ) -> None:
        if not caller.is_admin and not changes.keys() <= {"name"}:
            raise PermissionDenied("Only an admin can change an email or a role")
        if caller.id == user_id and changes.get("email", caller.email) != caller.email:
            # A stolen token must not be enough to take the account for good.
            raise PermissionDenied(
                "Change your own address with POST /auth/email/change, which requires "
                "your password and a confirmation of the new address"
            )

    async def change(
        self,
        user_id: UUID,
        changes: Mapping[str, Any],
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Set the email, name, role, `is_active` or password of an account.

        All changes are made, or none. If the actor isn't the owner, the owner gets one
        email that lists the changes. A new password or a deactivation ends all
        sessions, and each recovery voids the links that were requested before it.

        Raises:
            ValidationFailed: the role is not configured, or the password is too weak.
            PermissionDenied: the actor sets their own password, which requires the
                current one.
            UserNotFound, EmailTaken, LastAdmin, PreconditionFailed
        """
        # Hashed before the transaction begins, which on SQLite holds the write lock.
        values = await self.prepare(user_id, changes, actor_id)
        user = await self._get_locked(user_id, if_match)
        changed = {n: v for n, v in values.items() if getattr(user, n) != v}
        if changed.get("role", ADMIN) != ADMIN or not changed.get("is_active", True):
            await self._require_another_admin(user)
        former_email = user.email
        await self._set(user, changed)
        await self._record_changes(user, changed, actor_id)
        if actor_id != user.id:
            await self._notify(user, former_email, _described(changed))
        return user

    async def prepare(
        self, user_id: UUID, changes: Mapping[str, Any], actor_id: UUID | None
    ) -> dict[str, Any]:
        """Return changes for `change` with the password checked and hashed.

        `change` does this itself. Call it before, if a transaction begins before.

        Raises:
            ValidationFailed: the role is not configured, or the password is too weak.
            PermissionDenied: the actor sets their own password, which requires the
                current one.
            UserNotFound
        """
        values = dict(changes)
        if "role" in values:
            self._check_role(values["role"], "body.role")
        if actor_id == user_id and values.keys() & {"password", "hashed_password"}:
            raise PermissionDenied(
                "Change your own password where the current one is required"
            )
        if "password" in values:
            password = values.pop("password")
            email, name = await self._identity_after(user_id, values)
            await self.check_new_password(password, email, name)
            values["hashed_password"] = await hash_password(password)
        return values

    async def _identity_after(
        self, user_id: UUID, changes: Mapping[str, Any]
    ) -> tuple[str, str]:
        """Return the address and the name that an account will have."""
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        return changes.get("email", user.email), changes.get("name", user.name)

    async def _set(self, user: User, changed: Mapping[str, Any]) -> None:
        for name, value in changed.items():
            setattr(user, name, value)
        if "email" in changed:
            user.email_verified_at = None
        await self.users.save(user)
        if changed.keys() & _RECOVERIES:
            await self.users.void_links(user.id)
        if "hashed_password" in changed or not changed.get("is_active", True):
            await self.sessions.delete_of(user.id)

    async def _record_changes(
        self, user: User, changed: Mapping[str, Any], actor_id: UUID | None
    ) -> None:
        if "role" in changed:
            await self._record(Action.ROLE_CHANGED, user, actor_id, role=user.role)
        if fields := sorted(changed.keys() & {"email", "name"}):
            await self._record(Action.USER_UPDATED, user, actor_id, fields=fields)
        if "is_active" in changed:
            is_active = changed["is_active"]
            action = Action.USER_ACTIVATED if is_active else Action.USER_DEACTIVATED
            await self._record(action, user, actor_id)
        if "hashed_password" in changed:
            await self._record(Action.PASSWORD_CHANGED, user, actor_id)

    async def _notify(self, user: User, email: str, changes: str) -> None:
        """Send the owner a list of changes, to the address from before them."""
        if changes:
            await enqueue(
                self.users.session,
                send_email,
                template="account_changed",
                to=email,
                context={"name": user.greeted_as, "changes": changes},
            )

    @raises(UserNotFound)
    async def activate(
        self,
        user_id: UUID,
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Allow an account to sign in again. A second call changes nothing.

        Raises:
            UserNotFound, PreconditionFailed
        """
        return await self.change(user_id, {"is_active": True}, actor_id, if_match)

    @raises(UserNotFound, LastAdmin)
    async def deactivate(
        self,
        user_id: UUID,
        actor_id: UUID | None = None,
        if_match: IfMatch | None = None,
    ) -> User:
        """Lock an account out, from its next request on. A second call does nothing.

        Raises:
            UserNotFound, LastAdmin, PreconditionFailed
        """
        return await self.change(user_id, {"is_active": False}, actor_id, if_match)

    async def set_password(
        self, user_id: UUID, password: str, actor_id: UUID | None = None
    ) -> User:
        """Replace the password of another account and end all its sessions.

        Raises:
            UserNotFound, PermissionDenied
            ValidationFailed: the password is too weak.
        """
        return await self.change(user_id, {"password": password}, actor_id)

    @raises(UserNotFound, LastAdmin, BrokenReference)
    async def delete(
        self, user_id: UUID, caller: Caller, if_match: IfMatch | None = None
    ) -> None:
        """Delete an account and, in the database, everything it owns.

        Raises:
            UserNotFound: also for accounts of others, unless the caller is an admin.
            LastAdmin, PreconditionFailed
        """
        self._check_visible(user_id, caller)
        user = await self._get_locked(user_id, if_match)
        await self._require_another_admin(user)
        await self._record(Action.USER_DELETED, user, caller.id)
        await self.users.delete(user)

    @raises(UserNotFound)
    async def list_sessions(self, user_id: UUID, caller: Caller) -> SessionListResponse:
        """Return the sessions of an account.

        Raises:
            UserNotFound
        """
        await self.get(user_id, caller)
        items = await self.sessions.list_of(user_id, caller.session_id)
        return SessionListResponse(items)

    @raises(UserNotFound)
    async def revoke_sessions(self, user_id: UUID, caller: Caller) -> None:
        """End all sessions of an account and void the links in its emails.

        Raises:
            UserNotFound
        """
        user = await self._get_locked(user_id)
        await self.sessions.delete_of(user.id)
        await self.users.void_links(user.id)
        await self._record(Action.SESSIONS_REVOKED, user, caller.id)
        if caller.id != user.id:
            await self._notify(user, user.email, "You were signed out everywhere.")

    async def end_session(self, session_id: UUID, caller: Caller) -> None:
        """End one session of any account, as an admin.

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
        """Return the account with an address.

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

    async def _require_another_admin(self, user: User) -> None:
        """Refuse to lose the last active admin, also if two are removed at once."""
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
            message = f"Unknown role; use one of: {configured}"
            raise ValidationFailed(details=[Detail(field, message)])

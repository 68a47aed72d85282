"""Sign-in: from an address and a password to a session."""

from typing import NamedTuple, NoReturn
from uuid import UUID

from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.device_cookies import Device
from bedplate.core.errors import APIError, InvalidCredentials, RateLimited, raises
from bedplate.core.origin import origin
from bedplate.core.permissions import Permission
from bedplate.core.security import PasswordCheck
from bedplate.database import Session
from bedplate.jobs import enqueue
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.authentication import Authenticator, admin_expiry
from bedplate.modules.auth.errors import AccountInactive, EmailNotVerified
from bedplate.modules.auth.guard import PasswordGuard, SignInLimits
from bedplate.modules.auth.keys import refresh_keys
from bedplate.modules.auth.repository import FIND_ACCOUNT, Account
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.auth.sessions import SessionService
from bedplate.modules.auth.tasks import send_new_sign_in
from bedplate.modules.users.errors import UserNotFound
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import UserRepository
from bedplate.modules.users.schemas import normalize_email
from bedplate.runtime import Runtime


class SignIn(NamedTuple):
    """A successful sign-in: the user, and the tokens of the new session."""

    user_id: UUID
    tokens: TokenResponse


class VerifiedPassword(NamedTuple):
    """A user, locked, whose password was right, and the guard that compared it."""

    user: User
    guard: PasswordGuard


class SignInService:
    """Rules for signing in, by any method, at the API and in browsers."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime
        self.settings = runtime.settings
        self.users = UserRepository(session)
        self.sessions = SessionService(session, runtime)
        self.audit = AuditService(session)

    @raises(InvalidCredentials, AccountInactive, EmailNotVerified, RateLimited)
    async def sign_in(
        self, email: str, password: str, device: Device | None = None
    ) -> SignIn:
        """Check a password, start a session and return its tokens.

        An unknown address gets the same answer, after the same time, as a wrong
        password. Only someone who knows the password learns that an account is inactive
        or unverified. A `device` that has signed in to the account before has a rate
        limit of its own.

        Raises:
            RateLimited: too many failures, of this account or from this IP address.
            InvalidCredentials, AccountInactive, EmailNotVerified, ServiceUnavailable
        """
        await refresh_keys(self.runtime)
        user, _ = await self._verify_password(email, password, device)
        await self._record_sign_in(user)
        tokens = await self.sessions.issue_tokens(
            user, await self.sessions.create(user)
        )
        return SignIn(user.id, tokens)

    async def sign_in_with_cookie(
        self,
        email: str,
        password: str,
        permission: Permission | None = None,
        device: Device | None = None,
    ) -> Caller:
        """Check a password and start a session for a browser, without tokens.

        Raises:
            InvalidCredentials: also if the password is right but the user lacks
                `permission`.
            RateLimited, AccountInactive, EmailNotVerified, ServiceUnavailable
        """
        user, guard = await self._verify_password(email, password, device)
        permissions = self.runtime.permissions
        if permission is not None and not permissions.allow(user.role, permission):
            await self._refuse(user, guard, InvalidCredentials(), notify=True)
        return await self._start_browser_session(user)

    async def start_session(self, user_id: UUID) -> Caller:
        """Start a browser session for a user that another sign-in method has verified.

        Raises:
            AccountInactive: also if the account was deleted.
        """
        user = await self.users.get(user_id, lock=True)
        if user is None or not user.is_active:
            raise AccountInactive
        return await self._start_browser_session(user)

    async def _start_browser_session(self, user: User) -> Caller:
        await self._record_sign_in(user)
        row = await self.sessions.create(user)
        row.expires_at = admin_expiry(self.settings, row)
        authenticator = Authenticator(self.runtime)
        caller = await authenticator.find_by(self.session, user.id, row.id)
        assert caller is not None  # this transaction has just created the session
        return caller

    async def _verify_password(
        self, email: str, password: str, device: Device | None
    ) -> VerifiedPassword:
        account = await self._find_account(email)
        hits = await SignInLimits(self.runtime, email).choose(account, device)
        guard = PasswordGuard(self.runtime, email, *hits, notifies=True)
        check = await guard.check(
            password, account, Action.SIGN_IN_FAILED, InvalidCredentials()
        )
        assert account is not None  # the guard refuses a missing account
        user = await self._check_may_sign_in(account, check, guard)
        return VerifiedPassword(user, guard)

    async def _find_account(self, email: str) -> Account | None:
        try:
            address = normalize_email(email)
        except ValueError:
            return None  # not an address: answered like an unknown one
        return await self.session.fetch_one(FIND_ACCOUNT, email=address)

    async def _check_may_sign_in(
        self, account: Account, check: PasswordCheck, guard: PasswordGuard
    ) -> User:
        # Locked and read again: the user may have changed during the password check.
        user = await self.users.get(account.id, lock=True)
        if user is None or user.hashed_password != account.hashed_password:
            raise InvalidCredentials
        if not user.is_active:
            await self._refuse(user, guard, AccountInactive())
        if self.settings.require_verified_email and not user.email_verified:
            await self._refuse(user, guard, EmailNotVerified())
        if check.new_hash is not None:
            user.hashed_password = check.new_hash
        return user

    async def _refuse(
        self,
        user: User,
        guard: PasswordGuard,
        error: APIError,
        *,
        notify: bool = False,
    ) -> NoReturn:
        """Refuse a user whose password is right; record it and count it as a failure.

        Both are committed before the error leaves.
        """
        user_id = user.id
        await self.session.rollback()  # it holds the user's lock
        async with self.runtime.database.unit_of_work() as separate:
            service = SignInService(separate, self.runtime)
            if notify:
                await service._notify_new_device(user_id)
            await service.audit.record(
                Action.SIGN_IN_REFUSED, actor_id=None, subject_id=user_id
            )
        await guard.count()
        raise error

    async def _record_sign_in(self, user: User) -> None:
        await self._notify_new_device(user.id)
        await self.audit.record(Action.SIGNED_IN, actor_id=user.id, subject_id=user.id)

    async def _notify_new_device(self, user_id: UUID) -> None:
        """Send the owner an email, unless this client or no client signed in before."""
        known_agents = await self.audit.events.user_agents(user_id, Action.SIGNED_IN)
        _, address, user_agent = origin.get()
        if known_agents and user_agent not in known_agents:
            await enqueue(
                self.session,
                send_new_sign_in,
                key=f"{user_id} {user_agent} {utc_now():%Y-%m-%d}",
                user_id=user_id,
                device=user_agent or "an unnamed client",
                address=address or "an unknown address",
                at=f"{utc_now():%Y-%m-%d %H:%M} UTC",
            )

    async def unlock(self, user_id: UUID, caller: Caller) -> None:
        """Lift the limit on an account's sign-in, as an admin.

        Raises:
            UserNotFound
        """
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        await self._unlock(user.email, user.id, caller.id)

    async def unlock_by_email(self, email: str) -> None:
        """Lift the limit on an account's sign-in, from the command line.

        Raises:
            UserNotFound
        """
        account = await self._find_account(email)
        if account is None:
            raise UserNotFound
        await self._unlock(email, account.id, None)

    async def _unlock(self, email: str, user_id: UUID, actor_id: UUID | None) -> None:
        # Before the transaction begins: the store may be the same database.
        await SignInLimits(self.runtime, email).lift(user_id)
        await self.audit.record(
            Action.SIGN_IN_UNLOCKED, actor_id=actor_id, subject_id=user_id
        )

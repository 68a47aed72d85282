"""Recovery: changing, verifying and recovering passwords and addresses."""

from uuid import UUID

from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.errors import (
    Detail,
    InvalidToken,
    RateLimited,
    ValidationFailed,
    raises,
)
from bedplate.core.origin import client_block
from bedplate.core.security import hash_password
from bedplate.database import Session
from bedplate.jobs import Job, enqueue
from bedplate.limits import hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.errors import InvalidPassword
from bedplate.modules.auth.guard import PasswordGuard, SignInLimits, session_hit
from bedplate.modules.auth.links import Purpose
from bedplate.modules.auth.repository import (
    FIND_ACCOUNT,
    Account,
    OneTimeTokenRepository,
)
from bedplate.modules.auth.tasks import (
    send_email_change,
    send_password_reset,
    send_verification,
)
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.errors import EmailTaken, UserNotFound
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.modules.users.service import UserService
from bedplate.runtime import Runtime


class RecoveryService:
    """Rules for passwords and addresses, and for the links in emails."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime
        self.settings = runtime.settings
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.tokens = OneTimeTokenRepository(session)
        self.audit = AuditService(session)

    @raises(InvalidPassword, RateLimited)
    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """Replace the caller's password and end their other sessions.

        Raises:
            InvalidPassword: `current` is wrong.
            ValidationFailed: `new` is too weak.
            RateLimited
        """
        account = await self._check_password(caller, current)
        await self._check_new_password(new, caller.email, caller.name)
        hashed_password = await hash_password(new)
        user = await self._get_unchanged(account)
        user.hashed_password = hashed_password
        await self.users.void_links(user.id)
        await self.sessions.delete_of(user.id, but=caller.session_id)
        await self._record(Action.PASSWORD_CHANGED, user.id)
        await self._notify(user, "password_changed")

    async def _check_new_password(self, password: str, email: str, name: str) -> None:
        users = UserService(self.session, self.runtime)
        await users.check_new_password(password, email, name, "body.new_password")

    async def _check_password(self, caller: Caller, password: str) -> Account:
        account = await self.session.fetch_one(FIND_ACCOUNT, email=caller.email)
        counted = session_hit(self.runtime, caller.session_id)
        guard = PasswordGuard(self.runtime, caller.email, counted)
        failure = Action.PASSWORD_CHECK_FAILED
        await guard.check(password, account, failure, InvalidPassword())
        assert account is not None  # the guard refuses a missing account
        return account

    async def _get_unchanged(self, account: Account) -> User:
        """Return the user, locked, if the compared password is still theirs."""
        user = await self.users.get(account.id, lock=True)
        if user is None or user.hashed_password != account.hashed_password:
            raise InvalidPassword
        return user

    @raises(RateLimited)
    async def forgot_password(self, email: str) -> None:
        """Send a link to choose a new password, if the address has an account.

        The job looks the account up, so the response is the same with and without one.

        Raises:
            RateLimited: counted the same for known and unknown addresses.
        """
        await self._count_mail(Purpose.RESET_PASSWORD, email)
        await self._enqueue_link(send_password_reset, email)

    async def _enqueue_link(self, job: Job, email: str) -> None:
        """Enqueue an email with a link, bound to the account's present version."""
        version = await self.users.find_security_version(email)
        await enqueue(self.session, job, email=email, security_version=version)

    async def send_reset(self, user_id: UUID) -> None:
        """Send a reset link to an existing account, as an admin.

        Raises:
            UserNotFound, RateLimited
        """
        # A read that begins no transaction: the limit is counted in one of its own.
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        await self.forgot_password(user.email)

    @raises(RateLimited)
    async def request_verification(self, email: str) -> None:
        """Send a link to verify the address, if it has an account that needs it.

        Raises:
            RateLimited: counted the same for known and unknown addresses.
        """
        await self._count_mail(Purpose.VERIFY_EMAIL, email)
        await self._enqueue_link(send_verification, email)

    async def _count_mail(self, purpose: Purpose, account: str) -> None:
        settings = self.settings
        await self.runtime.limits.count(
            hit(settings.limit_mails_per_account, purpose, "account", account),
            hit(settings.limit_mails_per_address, purpose, "address", client_block()),
        )

    @raises(InvalidToken)
    async def reset_password(self, token: str, new: str) -> UUID:
        """Set a new password with a link's token, end all sessions, return the user id.

        The link came by email, so it verifies the address too, and this client gets a
        rate limit of its own if others have used up the account's.

        Raises:
            ValidationFailed: `new` is too weak; the token can be used again.
            InvalidToken
        """
        owner = await self.tokens.find_owner(token, Purpose.RESET_PASSWORD)
        if owner is None:
            raise InvalidToken  # before the cost of a hash
        await self._check_new_password(new, owner.email, owner.name)
        hashed_password = await hash_password(new)
        # Before the transaction begins: the store may be the same database.
        limits = SignInLimits(self.runtime, owner.email)
        await limits.let_in_after_reset(owner.user_id)
        user, _ = await self._take(token, Purpose.RESET_PASSWORD)
        user.hashed_password = hashed_password
        user.email_verified_at = user.email_verified_at or utc_now()
        await self.users.void_links(user.id)
        await self.sessions.delete_of(user.id)
        await self._record(Action.PASSWORD_RESET, user.id)
        await self._notify(user, "password_changed")
        return user.id

    @raises(InvalidToken)
    async def verify_email(self, token: str) -> None:
        """Verify the address that the link was sent to.

        Raises:
            InvalidToken
        """
        user, _ = await self._take(token, Purpose.VERIFY_EMAIL)
        user.email_verified_at = user.email_verified_at or utc_now()
        await self._record(Action.EMAIL_VERIFIED, user.id)

    async def _take(self, token: str, purpose: Purpose) -> tuple[User, str]:
        """Use up a token. Return its user, locked, and the address it was sent to."""
        taken = await self.tokens.take(token, purpose)
        if taken is None:
            raise InvalidToken
        user = await self.users.get(taken.user_id, lock=True)
        if user is None or not user.is_active:
            raise InvalidToken
        if user.security_version != taken.security_version:
            raise InvalidToken  # the account was recovered since, or its address moved
        return user, taken.email

    @raises(InvalidPassword, RateLimited)
    async def request_email_change(
        self, caller: Caller, new_email: str, password: str
    ) -> None:
        """Send a link to the new address and a notice to the present one.

        A taken address gets a notice instead of a link; the response is the same.

        Raises:
            InvalidPassword, RateLimited
            ValidationFailed: it is the present address.
        """
        if new_email == caller.email:
            message = "This is already your address"
            raise ValidationFailed(details=[Detail("body.new_email", message)])
        account = await self._check_password(caller, password)
        await self._count_mail(Purpose.CHANGE_EMAIL, caller.email)
        # Counted for all accounts together: many accounts can't fill one mailbox.
        limit = self.settings.limit_mails_per_account
        await self.runtime.limits.count(hit(limit, "mails to", new_email))
        await self._record(Action.EMAIL_CHANGE_REQUESTED, caller.id)
        await enqueue(
            self.session,
            send_email_change,
            user_id=caller.id,
            new_email=new_email,
            security_version=account.security_version,
        )
        name = caller.name if caller.email_verified else ""
        await self._send(
            "email_change_requested", caller.email, name=name, new_email=new_email
        )

    @raises(InvalidToken, EmailTaken)
    async def confirm_email_change(self, token: str) -> None:
        """Change to the address that the link was sent to; notify the former one.

        Raises:
            InvalidToken
            EmailTaken: another account registered the address in the meantime.
        """
        user, new_email = await self._take(token, Purpose.CHANGE_EMAIL)
        old_email, name = user.email, user.greeted_as
        user.email, user.email_verified_at = new_email, utc_now()
        await self.users.save(user)
        await self.users.void_links(user.id)
        await self._record(Action.EMAIL_CHANGED, user.id)
        await self._send("email_changed", old_email, name=name, new_email=user.email)

    async def _notify(self, user: User, template: str) -> None:
        await self._send(template, user.email, name=user.greeted_as)

    async def _send(self, template: str, to: str, **context: str) -> None:
        await enqueue(
            self.session, send_email, template=template, to=to, context=context
        )

    async def _record(self, action: Action, user_id: UUID) -> None:
        await self.audit.record(action, actor_id=user_id, subject_id=user_id)

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import astuple

from bedplate.core.clock import utc_now
from bedplate.core.errors import (
    InvalidCredentials,
    InvalidRefreshToken,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
)
from bedplate.core.origin import client_block, origin
from bedplate.core.permissions import Caller, Permission
from bedplate.core.request_log import add_to_request_log
from bedplate.core.security import PasswordCheck, check_password
from bedplate.database import Database, Session
from bedplate.jobs import enqueue
from bedplate.limits import Hit, hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.errors import AccountInactive, EmailNotVerified
from bedplate.modules.auth.keys import reload_for, reload_if_due
from bedplate.modules.auth.models import RefreshToken
from bedplate.modules.auth.repository import (
    FIND_ACCOUNT,
    FIND_CALLER,
    Account,
    RefreshTokenRepository,
)
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.auth.tasks import send_new_sign_in
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.modules.users.schemas import SessionListResponse, normalise_email
from bedplate.runtime import Runtime

SignOutScope = Literal["local", "others", "all"]


class AuthService:
    """Sign-in, refresh and sign-out."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime
        self.settings = runtime.settings
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.refresh_tokens = RefreshTokenRepository(session)
        self.audit = AuditService(session)

    async def sign_in(self, email: str, password: str) -> TokenResponse:
        """A new session for the right password.

        An unknown address gets the same answer, after the same time, as a wrong
        password; that an account is inactive or unverified is told only to whoever
        knows its password.

        Raises:
            RateLimited: too many failures, of this account or from this address.
            InvalidCredentials, AccountInactive, EmailNotVerified
        """
        await reload_if_due(self.runtime)
        user = await self._identify(email, password)
        await self._welcome(user)
        return await self._issue(user, await self._open_session(user))

    async def enter(
        self, email: str, password: str, permission: Permission | None = None
    ) -> Caller:
        """A new session without tokens, for a browser that keeps its id signed.

        Raises:
            RateLimited, InvalidCredentials, AccountInactive, EmailNotVerified
            PermissionDenied: the password is right, but they lack the permission.
        """
        caller = await self._enter(await self._identify(email, password))
        if permission is not None and not caller.may(permission):
            raise PermissionDenied
        return caller

    async def vouch(self, user_id: UUID) -> Caller:
        """`enter` for somebody whom another way of signing in vouches for.

        Raises:
            AccountInactive: gone, too.
        """
        user = await self.users.get(user_id, lock=True)
        if user is None or not user.is_active:
            raise AccountInactive
        return await self._enter(user)

    async def _enter(self, user: User) -> Caller:
        await self._welcome(user)
        opened = await self._open_session(user)
        hours = self.settings.admin_session_hours
        opened.expires_at = opened.created_at + timedelta(hours=hours)
        finder = Authenticator(self.runtime)
        caller = await finder.find_by(self.session, user.id, opened.id)
        assert caller is not None  # it is a moment old
        return caller

    async def _identify(self, email: str, password: str) -> User:
        guard = PasswordGuard(self.runtime, _account_key(email))
        account = await self._find_account(email)
        check = await guard.check(
            password, account, Action.SIGN_IN_FAILED, InvalidCredentials()
        )
        assert account is not None  # the guard refuses a missing account
        return await self._admit(account, check)

    async def _welcome(self, user: User) -> None:
        await self._notice_new_device(user)
        await self._record(Action.SIGNED_IN, user.id)

    async def _find_account(self, email: str) -> Account | None:
        try:
            address = normalise_email(email)
        except ValueError:
            return None  # no address at all: as unknown as any
        return await self.session.fetch_one(FIND_ACCOUNT, email=address)

    async def _admit(self, account: Account, check: PasswordCheck) -> User:
        """The user, locked: it may have changed while its password was being hashed."""
        user = await self.users.get(account.id, lock=True)
        if user is None or user.hashed_password != account.hashed_password:
            raise InvalidCredentials
        if not user.is_active:
            raise AccountInactive
        if self.settings.require_verified_email and not user.email_verified:
            raise EmailNotVerified
        if check.new_hash is not None:
            user.hashed_password = check.new_hash
        return user

    async def _notice_new_device(self, user: User) -> None:
        """A mail, unless this is the first sign-in or the client was seen before."""
        known = await self.audit.events.user_agents(user.id, Action.SIGNED_IN)
        _, address, user_agent = origin.get()
        if known and user_agent not in known:
            await enqueue(
                self.session,
                send_new_sign_in,
                user_id=user.id,
                device=user_agent or "an unnamed client",
                address=address or "an unknown address",
                at=f"{utc_now():%Y-%m-%d %H:%M} UTC",
            )

    async def _open_session(self, user: User) -> UserSession:
        _, address, user_agent = origin.get()
        opened = UserSession(user_id=user.id, ip=address, user_agent=user_agent)
        opened.created_at = opened.last_used_at = utc_now()
        opened.expires_at = self._expiry(opened)
        return await self.sessions.add(opened)

    def _expiry(self, session: UserSession) -> datetime:
        """The earlier of its idle and its absolute end."""
        return min(
            session.last_used_at + timedelta(days=self.settings.refresh_idle_days),
            session.created_at + timedelta(days=self.settings.session_days),
        )

    async def _issue(self, user: User, session: UserSession) -> TokenResponse:
        tokens = self.runtime.tokens
        return TokenResponse(
            access_token=tokens.issue(user.id, session.id),
            token_type="bearer",  # noqa: S106, RFC 6749's word for it
            expires_in=int(tokens.lifetime.total_seconds()),
            refresh_token=await self.refresh_tokens.issue(session),
        )

    async def refresh(self, token: str) -> TokenResponse:
        """New tokens for a refresh token, which is spent by it (RFC 9700, 4.14.2).

        A spent one that comes back ends its session, since two parties hold it. Not
        so within the grace or while its successor is unused: then an honest client
        lost the answer, or asked twice at once, and gets another successor. Of those,
        the first to be used goes on.

        Raises:
            InvalidRefreshToken: unknown, expired, or spent; its user is gone or
                inactive.
            RateLimited
        """
        await reload_if_due(self.runtime)
        session_id = await self.refresh_tokens.find_session_id(token)
        if session_id is None:
            raise InvalidRefreshToken
        limit = self.settings.limit_refreshes_per_session
        await self.runtime.limits.count(hit(limit, "refresh", str(session_id)))
        session, user = await self._live_session(session_id)
        await self._rotate(session, token)
        session.last_used_at = utc_now()
        session.expires_at = self._expiry(session)
        return await self._issue(user, session)

    async def _live_session(self, session_id: UUID) -> tuple[UserSession, User]:
        """The session, locked, so that refreshes of it follow one another."""
        session = await self.sessions.get(session_id, lock=True)
        if session is None or session.expires_at <= utc_now():
            raise InvalidRefreshToken
        user = await self.users.get(session.user_id)
        if user is None or not user.is_active:
            raise InvalidRefreshToken
        return session, user

    async def _rotate(self, session: UserSession, token: str) -> None:
        presented = await self.refresh_tokens.get_by_token(token)
        if presented is None:
            raise InvalidRefreshToken
        if presented.spent_at is None:
            presented.was_used = True
            session.generation += 1
            await self.refresh_tokens.spend_all(session.id, utc_now())
        elif not self._may_come_again(presented, session):
            await self._refuse_spent(presented, session)

    def _may_come_again(self, spent: RefreshToken, session: UserSession) -> bool:
        successor_is_unused = spent.generation == session.generation - 1
        return spent.was_used and (successor_is_unused or self._is_recent(spent))

    def _is_recent(self, spent: RefreshToken) -> bool:
        assert spent.spent_at is not None
        grace = timedelta(seconds=self.settings.refresh_grace_seconds)
        return utc_now() - spent.spent_at <= grace

    async def _refuse_spent(self, spent: RefreshToken, session: UserSession) -> None:
        """End the session, in a transaction that the refusal can't undo.

        A successor that lost the race against another is no theft while the grace
        lasts: it is refused, and the session lives.
        """
        ids = (session.id, session.user_id)
        is_late_loser = not spent.was_used and self._is_recent(spent)
        await self.session.rollback()  # it holds the session's lock
        if not is_late_loser:
            await self._end_session(*ids)
        raise InvalidRefreshToken

    async def _end_session(self, session_id: UUID, user_id: UUID) -> None:
        async with self.runtime.database.unit_of_work() as separate:
            await SessionRepository(separate).delete_of(user_id, only=session_id)
            await AuditService(separate).record(
                Action.REFRESH_REUSED,
                actor_id=None,
                subject_id=user_id,
                session_id=str(session_id),
            )

    async def sign_out(self, caller: Caller, scope: SignOutScope) -> None:
        """End this session, the caller's other ones, or all.

        The last two void links in mails too: whoever was signed in elsewhere may have
        asked for one.
        """
        only = caller.session_id if scope == "local" else None
        but = caller.session_id if scope == "others" else None
        if scope != "local":
            await self.users.void_links(caller.id)
        await self.sessions.delete_of(caller.id, only=only, but=but)
        await self._record(Action.SIGNED_OUT, caller.id, scope=scope)

    async def list_sessions(self, caller: Caller) -> SessionListResponse:
        """Where the caller is signed in."""
        items = await self.sessions.list_of(caller.id, caller.session_id)
        return SessionListResponse(items)

    async def revoke_session(self, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions.

        Raises:
            NotFound: another's too.
        """
        if not await self.sessions.delete_of(caller.id, only=session_id):
            raise NotFound
        revoked = str(session_id)
        await self._record(Action.SESSIONS_REVOKED, caller.id, session_id=revoked)

    async def _record(self, action: Action, user_id: UUID, **details: str) -> None:
        await self.audit.record(action, actor_id=user_id, subject_id=user_id, **details)


class PasswordGuard:
    """Compares a password, and counts what fails.

    Failures are counted after the comparison and looked up before and after it. So of
    many guesses at once only as many tell anything as the limit allows, while any
    number of right passwords at once are let in.
    """

    def __init__(self, runtime: Runtime, account_key: str) -> None:
        settings = runtime.settings
        self._runtime = runtime
        per_account = settings.limit_failed_sign_ins_per_account
        per_address = settings.limit_failed_sign_ins_per_address
        self._hits: tuple[Hit, ...] = (
            hit(per_account, "sign-in", "account", account_key),
            hit(per_address, "sign-in", "address", client_block()),
        )

    async def check(
        self,
        password: str,
        account: Account | None,
        failure: Action,
        refusal: Exception,
    ) -> PasswordCheck:
        """The outcome for a right password; no transaction may be under way.

        Raises:
            RateLimited: too many failures, of this account or from this address.
            Exception: `refusal`, once the failure is counted and recorded.
        """
        await self._runtime.limits.check(*self._hits)
        stored = account.hashed_password if account else None
        check = await check_password(password, stored)
        if not check.ok:
            await self._record(failure, account)
            await self._runtime.limits.count(*self._hits)
            raise refusal
        await self._runtime.limits.check(*self._hits)
        return check

    async def _record(self, failure: Action, account: Account | None) -> None:
        """Committed on its own: a refusal must not undo it."""
        async with self._runtime.database.unit_of_work() as separate:
            await AuditService(separate).record(
                failure, actor_id=None, subject_id=account.id if account else None
            )


def _account_key(email: str) -> str:
    """The same for each spelling of an address, whether or not it has an account."""
    try:
        return normalise_email(email)
    except ValueError:
        return email.strip().lower()


class Authenticator:
    """Whose access token it is, as of now: one statement, and no unit of work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def authenticate(self, token: str) -> Caller:
        """The caller that an access token belongs to.

        Raises:
            NotAuthenticated: it is not ours, has expired, or its session or user is
                gone or inactive.
        """
        claims = self._runtime.tokens.verify(token)
        if claims is None and await reload_for(self._runtime, token):
            claims = self._runtime.tokens.verify(token)
        if claims is None:
            raise NotAuthenticated
        caller = await self.find(claims.user_id, claims.session_id)
        if caller is None:
            raise NotAuthenticated
        return caller

    async def authenticate_header(self, header: str) -> Caller:
        """`authenticate` for the value of an `Authorization` header.

        Raises:
            NotAuthenticated
        """
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated
        return await self.authenticate(token.strip())

    async def find(self, user_id: UUID, session_id: UUID) -> Caller | None:
        """The caller of a session, unless it, or its user, is gone or inactive."""
        return await self.find_by(self._runtime.database, user_id, session_id)

    async def find_by(
        self, reader: Database | Session, user_id: UUID, session_id: UUID
    ) -> Caller | None:
        """`find`, inside a unit of work if the reader is one."""
        found = await reader.fetch_one(
            FIND_CALLER, session_id=session_id, user_id=user_id, now=utc_now()
        )
        if found is None:
            return None
        add_to_request_log(user_id=str(user_id))
        fields: list[Any] = [*astuple(found), self._runtime.permissions.of(found.role)]
        return Caller(*fields)

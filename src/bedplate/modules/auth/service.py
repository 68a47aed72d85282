from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, NoReturn
from uuid import UUID

from msgspec.structs import astuple

from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.core.device_cookies import Device
from bedplate.core.errors import (
    APIError,
    InvalidCredentials,
    InvalidRefreshToken,
    NotAuthenticated,
    NotFound,
)
from bedplate.core.origin import origin
from bedplate.core.permissions import Caller, Permission
from bedplate.core.request_log import add_to_request_log
from bedplate.core.security import PasswordCheck
from bedplate.database import Database, Session
from bedplate.jobs import enqueue
from bedplate.limits import hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.errors import AccountInactive, EmailNotVerified
from bedplate.modules.auth.guard import PasswordGuard, SignInLimits
from bedplate.modules.auth.keys import refresh_keys, reload_for
from bedplate.modules.auth.models import RefreshToken
from bedplate.modules.auth.repository import (
    FIND_ACCOUNT,
    FIND_CALLER,
    FIND_LAST_USE,
    Account,
    LastUse,
    RefreshTokenRepository,
)
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.auth.tasks import send_new_sign_in
from bedplate.modules.users.errors import UserNotFound
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.modules.users.schemas import SessionListResponse, normalize_email
from bedplate.runtime import Runtime

_NOTE_USE_EVERY = timedelta(minutes=1)
SignOutScope = Literal["local", "others", "all"]


class SignIn(NamedTuple):
    """A successful sign-in: of whom, and the tokens of its session."""

    user_id: UUID
    tokens: TokenResponse


class VerifiedPassword(NamedTuple):
    """A user, locked, whose password was right, and the guard that compared it."""

    user: User
    guard: PasswordGuard


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

    async def sign_in(
        self, email: str, password: str, device: Device | None = None
    ) -> SignIn:
        """Open a session for the right password.

        An unknown address gets the same answer, after the same time, as a wrong
        password; that an account is inactive or unverified is told only to whoever
        knows its password. A `device` that has signed in to the account before has a
        limit of its own.

        Raises:
            RateLimited: too many failures, of this account or from this address.
            InvalidCredentials, AccountInactive, EmailNotVerified, ServiceUnavailable
        """
        await refresh_keys(self.runtime)
        user, _ = await self._verify_password(email, password, device)
        await self._record_sign_in(user)
        tokens = await self._issue(user, await self._create_session(user))
        return SignIn(user.id, tokens)

    async def sign_in_with_cookie(
        self,
        email: str,
        password: str,
        permission: Permission | None = None,
        device: Device | None = None,
    ) -> Caller:
        """Open a session without tokens, for a browser that keeps its id signed.

        Raises:
            InvalidCredentials: also if the password is right, but they lack the
                permission.
            RateLimited, AccountInactive, EmailNotVerified, ServiceUnavailable
        """
        user, guard = await self._verify_password(email, password, device)
        permissions = self.runtime.permissions
        if permission is not None and not permissions.allow(user.role, permission):
            await self._refuse(user, guard, InvalidCredentials(), notify=True)
        return await self._start_session(user)

    async def start_session(self, user_id: UUID) -> Caller:
        """Start a session for a user whom another sign-in method has verified.

        Raises:
            AccountInactive: gone, too.
        """
        user = await self.users.get(user_id, lock=True)
        if user is None or not user.is_active:
            raise AccountInactive
        return await self._start_session(user)

    async def _start_session(self, user: User) -> Caller:
        await self._record_sign_in(user)
        opened = await self._create_session(user)
        opened.expires_at = admin_expiry(self.settings, opened)
        finder = Authenticator(self.runtime)
        caller = await finder.find_by(self.session, user.id, opened.id)
        assert caller is not None  # it is a moment old
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
        return VerifiedPassword(
            await self._check_may_sign_in(account, check, guard), guard
        )

    async def _record_sign_in(self, user: User) -> None:
        await self._notice_new_device(user.id)
        await self._record(Action.SIGNED_IN, user.id)

    async def _find_account(self, email: str) -> Account | None:
        try:
            address = normalize_email(email)
        except ValueError:
            return None  # no address at all: as unknown as any
        return await self.session.fetch_one(FIND_ACCOUNT, email=address)

    async def _check_may_sign_in(
        self, account: Account, check: PasswordCheck, guard: PasswordGuard
    ) -> User:
        """The user, locked: it may have changed while its password was being hashed."""
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
        refusal: APIError,
        *,
        notify: bool = False,
    ) -> NoReturn:
        """Refuse somebody whose password is right, recorded and counted as a failure.

        Both are committed before the refusal leaves.
        """
        user_id = user.id
        await self.session.rollback()  # it holds the user's lock
        async with self.runtime.database.unit_of_work() as separate:
            kept = AuthService(separate, self.runtime)
            if notify:
                await kept._notice_new_device(user_id)
            await kept.audit.record(
                Action.SIGN_IN_REFUSED, actor_id=None, subject_id=user_id
            )
        await guard.count()
        raise refusal

    async def _notice_new_device(self, user_id: UUID) -> None:
        """Mail the owner, unless it is the first sign-in or the client is known."""
        known = await self.audit.events.user_agents(user_id, Action.SIGNED_IN)
        _, address, user_agent = origin.get()
        if known and user_agent not in known:
            await enqueue(
                self.session,
                send_new_sign_in,
                key=f"{user_id} {user_agent} {utc_now():%Y-%m-%d}",
                user_id=user_id,
                device=user_agent or "an unnamed client",
                address=address or "an unknown address",
                at=f"{utc_now():%Y-%m-%d %H:%M} UTC",
            )

    async def _create_session(self, user: User) -> UserSession:
        _, address, user_agent = origin.get()
        opened = UserSession(user_id=user.id, ip=address, user_agent=user_agent)
        opened.created_at = opened.last_used_at = utc_now()
        opened.expires_at = self._expiry(opened)
        await self.sessions.add(opened)
        await self._end_surplus_sessions(opened)
        return opened

    async def _end_surplus_sessions(self, opened: UserSession) -> None:
        """End the sessions that were not used for the longest time.

        Sign-ins of one account follow one another, since each holds the user's lock.
        """
        kept = self.settings.max_sessions_per_user
        ended = await self.sessions.delete_surplus(opened, kept)
        if ended:
            await self._record(
                Action.SESSIONS_REVOKED,
                opened.user_id,
                reason="max_sessions_per_user",
                count=ended,
            )

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
        await refresh_keys(self.runtime)
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

    async def unlock(self, user_id: UUID, caller: Caller) -> None:
        """Lift the limit on an account's sign-in: an admin's way.

        Raises:
            UserNotFound
        """
        user = await self.users.find(user_id)
        if user is None:
            raise UserNotFound
        await self._unlock(user.email, user.id, caller.id)

    async def unlock_by_email(self, email: str) -> None:
        """Lift the limit on an account's sign-in: the command line's way.

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

    async def _record(self, action: Action, user_id: UUID, **details: Any) -> None:
        await self.audit.record(action, actor_id=user_id, subject_id=user_id, **details)


def admin_expiry(settings: Settings, session: UserSession | LastUse) -> datetime:
    """Return the earlier of a browser session's idle and its absolute end."""
    return min(
        session.last_used_at + timedelta(minutes=settings.admin_idle_minutes),
        session.created_at + timedelta(hours=settings.admin_session_hours),
    )


class Authenticator:
    """Whose access token it is, as of now: one statement, and no unit of work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def authenticate(self, token: str) -> Caller:
        """The caller that an access token belongs to.

        Raises:
            NotAuthenticated: it is not ours, has expired, or its session or user is
                gone or inactive.
            ServiceUnavailable: the database can't be asked.
        """
        await refresh_keys(self._runtime)
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

    async def resume(self, user_id: UUID, session_id: UUID) -> Caller | None:
        """Return the caller of a browser session, and put off its idle end.

        Its use is written down at most once a minute.
        """
        caller = await self.find(user_id, session_id)
        if caller is not None:
            await self._note_use(session_id)
        return caller

    async def _note_use(self, session_id: UUID) -> None:
        database, now = self._runtime.database, utc_now()
        last = await database.fetch_one(FIND_LAST_USE, session_id=session_id)
        if last is None or now - last.last_used_at < _NOTE_USE_EVERY:
            return
        used = LastUse(created_at=last.created_at, last_used_at=now)
        async with database.unit_of_work() as session:
            await SessionRepository(session).note_use(
                session_id, now, admin_expiry(self._runtime.settings, used)
            )

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

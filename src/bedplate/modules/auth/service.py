from datetime import timedelta

from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.core.errors import InvalidCredentials, NotAuthenticated
from bedplate.core.permissions import Caller
from bedplate.core.security import AccessTokens, PasswordCheck, check_password
from bedplate.database import Database, Session
from bedplate.modules.auth.errors import AccountInactive, EmailNotVerified
from bedplate.modules.auth.models import UserSession
from bedplate.modules.auth.repository import (
    FIND_CALLER,
    Account,
    SessionRepository,
)
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import UserRepository
from bedplate.modules.users.schemas import normalise_email


class AuthService:
    """Sign-in."""

    def __init__(
        self, session: Session, settings: Settings, tokens: AccessTokens
    ) -> None:
        self.sessions = SessionRepository(session)
        self.users = UserRepository(session)
        self.settings = settings
        self.tokens = tokens

    async def sign_in(self, email: str, password: str) -> TokenResponse:
        """A new session for the right password.

        An unknown address gets the same answer, after the same time, as a wrong
        password; that an account is inactive or unverified is told only to whoever
        knows its password.

        Raises:
            InvalidCredentials, AccountInactive, EmailNotVerified
        """
        account = await self._find_account(email)
        stored = account.hashed_password if account else None
        check = await check_password(password, stored)
        if account is None or not check.ok:
            raise InvalidCredentials
        user = await self._admit(account, check)
        return self._issue(user, await self._open_session(user))

    async def _find_account(self, email: str) -> Account | None:
        try:
            return await self.sessions.find_account(normalise_email(email))
        except ValueError:
            return None  # no address at all: as unknown as any

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

    async def _open_session(self, user: User) -> UserSession:
        lifetime = timedelta(days=self.settings.session_days)
        session = UserSession(user_id=user.id, expires_at=utc_now() + lifetime)
        return await self.sessions.add(session)

    def _issue(self, user: User, session: UserSession) -> TokenResponse:
        return TokenResponse(
            access_token=self.tokens.issue(user.id, session.id),
            token_type="bearer",  # noqa: S106, RFC 6749's word for it
            expires_in=int(self.tokens.lifetime.total_seconds()),
        )


class Authenticator:
    """Whose token it is, as of now: one statement, outside any unit of work."""

    def __init__(self, database: Database, tokens: AccessTokens) -> None:
        self.database = database
        self.tokens = tokens

    async def authenticate(self, token: str) -> Caller:
        """The caller that an access token belongs to.

        Raises:
            NotAuthenticated: it is not ours, has expired, or its session or user is
                gone or inactive.
        """
        claims = self.tokens.verify(token)
        if claims is None:
            raise NotAuthenticated
        caller = await self.database.fetch_one(
            FIND_CALLER,
            session_id=claims.session_id,
            user_id=claims.user_id,
            now=utc_now(),
        )
        if caller is None:
            raise NotAuthenticated
        return caller

"""Refresh: exchanging a refresh token for new tokens (RFC 9700, section 4.14.2)."""

from datetime import timedelta
from uuid import UUID

from bedplate.core.clock import utc_now
from bedplate.core.errors import InvalidRefreshToken, RateLimited, raises
from bedplate.database import Session
from bedplate.limits import hit
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.keys import refresh_keys
from bedplate.modules.auth.models import RefreshToken
from bedplate.modules.auth.repository import RefreshTokenRepository
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.auth.sessions import SessionService
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.runtime import Runtime


class RefreshService:
    """Rotates refresh tokens, and ends a session whose token was used twice."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime
        self.settings = runtime.settings
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.refresh_tokens = RefreshTokenRepository(session)

    @raises(InvalidRefreshToken, RateLimited)
    async def refresh(self, token: str) -> TokenResponse:
        """Return a fresh token pair. End the session if the token was already used.

        A used token means that two parties hold it. It is accepted again within the
        grace period, or while its successor is unused: then an honest client lost the
        answer, or sent the request twice at once, and gets another successor. The
        first successor to be used replaces the others.

        Raises:
            InvalidRefreshToken: unknown, expired or already used, or its user is
                deleted or inactive.
            RateLimited
        """
        await refresh_keys(self.runtime)
        session_id = await self.refresh_tokens.find_session_id(token)
        if session_id is None:
            raise InvalidRefreshToken
        limit = self.settings.limit_refreshes_per_session
        await self.runtime.limits.count(hit(limit, "refresh", str(session_id)))
        row, user = await self._get_live_session(session_id)
        await self._rotate(row, token)
        sessions = SessionService(self.session, self.runtime)
        row.last_used_at = utc_now()
        row.expires_at = sessions.expiry(row)
        return await sessions.issue_tokens(user, row)

    async def _get_live_session(self, session_id: UUID) -> tuple[UserSession, User]:
        # Locked, so that refreshes of one session follow one another.
        row = await self.sessions.get(session_id, lock=True)
        if row is None or row.expires_at <= utc_now():
            raise InvalidRefreshToken
        user = await self.users.get(row.user_id)
        if user is None or not user.is_active:
            raise InvalidRefreshToken
        return row, user

    async def _rotate(self, row: UserSession, token: str) -> None:
        presented = await self.refresh_tokens.get_by_token(token)
        if presented is None:
            raise InvalidRefreshToken
        if presented.spent_at is None:
            presented.was_used = True
            row.generation += 1
            await self.refresh_tokens.spend_all(row.id, utc_now())
        elif not self._may_be_used_again(presented, row):
            await self._refuse_spent(presented, row)

    def _may_be_used_again(self, spent: RefreshToken, row: UserSession) -> bool:
        successor_is_unused = spent.generation == row.generation - 1
        return spent.was_used and (successor_is_unused or self._is_in_grace(spent))

    def _is_in_grace(self, spent: RefreshToken) -> bool:
        assert spent.spent_at is not None
        grace = timedelta(seconds=self.settings.refresh_grace_seconds)
        return utc_now() - spent.spent_at <= grace

    async def _refuse_spent(self, spent: RefreshToken, row: UserSession) -> None:
        """End the session in a transaction of its own, which the error can't undo.

        A successor that lost the race against another successor is not a theft during
        the grace period: it is refused, and the session lives.
        """
        ids = (row.id, row.user_id)
        lost_race = not spent.was_used and self._is_in_grace(spent)
        await self.session.rollback()  # it holds the session's lock
        if not lost_race:
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

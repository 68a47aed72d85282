"""Sessions: starting one, issuing its tokens, listing and ending them."""

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.errors import NotFound, raises
from bedplate.core.origin import origin
from bedplate.database import Session
from bedplate.modules.audit.service import Action, AuditService
from bedplate.modules.auth.repository import RefreshTokenRepository
from bedplate.modules.auth.schemas import TokenResponse
from bedplate.modules.users.models import User, UserSession
from bedplate.modules.users.repository import SessionRepository, UserRepository
from bedplate.modules.users.schemas import SessionListResponse
from bedplate.runtime import Runtime

SignOutScope = Literal["local", "others", "all"]


class SessionService:
    """Rules for sessions. Signing in and refreshing go through here too."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime
        self.settings = runtime.settings
        self.users = UserRepository(session)
        self.sessions = SessionRepository(session)
        self.refresh_tokens = RefreshTokenRepository(session)
        self.audit = AuditService(session)

    async def create(self, user: User) -> UserSession:
        """Create a session of a user, for the client of this request.

        A user has at most `max_sessions_per_user`; the least recently used ones end.
        """
        _, address, user_agent = origin.get()
        row = UserSession(user_id=user.id, ip=address, user_agent=user_agent)
        row.created_at = row.last_used_at = utc_now()
        row.expires_at = self.expiry(row)
        await self.sessions.add(row)
        await self._end_surplus(row)
        return row

    async def _end_surplus(self, newest: UserSession) -> None:
        # Sign-ins of one account follow one another: each holds the user's lock.
        limit = self.settings.max_sessions_per_user
        count = await self.sessions.delete_surplus(newest, limit)
        if count:
            await self._record(
                Action.SESSIONS_REVOKED,
                newest.user_id,
                reason="max_sessions_per_user",
                count=count,
            )

    def expiry(self, row: UserSession) -> datetime:
        """Return when a session ends: the earlier of its idle and absolute end."""
        return min(
            row.last_used_at + timedelta(days=self.settings.refresh_idle_days),
            row.created_at + timedelta(days=self.settings.session_days),
        )

    async def issue_tokens(self, user: User, row: UserSession) -> TokenResponse:
        """Return a new access token and a new refresh token of a session."""
        tokens = self.runtime.tokens
        return TokenResponse(
            access_token=tokens.issue(user.id, row.id),
            token_type="bearer",  # noqa: S106, RFC 6749's word for it
            expires_in=int(tokens.lifetime.total_seconds()),
            refresh_token=await self.refresh_tokens.issue(row),
        )

    async def sign_out(self, caller: Caller, scope: SignOutScope) -> None:
        """End this session (`local`), the caller's other ones (`others`), or `all`.

        `others` and `all` also void links that were mailed: someone who was signed in
        elsewhere may have requested one.
        """
        only = caller.session_id if scope == "local" else None
        but = caller.session_id if scope == "others" else None
        if scope != "local":
            await self.users.void_links(caller.id)
        await self.sessions.delete_of(caller.id, only=only, but=but)
        await self._record(Action.SIGNED_OUT, caller.id, scope=scope)

    async def list_sessions(self, caller: Caller) -> SessionListResponse:
        """Return every session of the caller, with the client that it belongs to."""
        items = await self.sessions.list_of(caller.id, caller.session_id)
        return SessionListResponse(items)

    @raises(NotFound)
    async def revoke_session(self, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions.

        Raises:
            NotFound: also for sessions of others.
        """
        if not await self.sessions.delete_of(caller.id, only=session_id):
            raise NotFound
        details = {"session_id": str(session_id)}
        await self._record(Action.SESSIONS_REVOKED, caller.id, **details)

    async def _record(self, action: Action, user_id: UUID, **details: Any) -> None:
        await self.audit.record(action, actor_id=user_id, subject_id=user_id, **details)

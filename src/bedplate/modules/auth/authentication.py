"""Turns an access token, or a browser's session, into its caller."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import astuple

from bedplate.caller import Caller
from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.core.errors import NotAuthenticated
from bedplate.core.request_log import add_to_request_log
from bedplate.database import Database, Session
from bedplate.modules.auth.keys import refresh_keys, reload_for
from bedplate.modules.auth.repository import FIND_CALLER, FIND_LAST_USE, LastUse
from bedplate.modules.users.models import UserSession
from bedplate.modules.users.repository import SessionRepository
from bedplate.runtime import Runtime

_WRITE_LAST_USE_EVERY = timedelta(minutes=1)


def admin_expiry(settings: Settings, session: UserSession | LastUse) -> datetime:
    """Return when a browser session ends: the earlier of its idle and absolute end."""
    return min(
        session.last_used_at + timedelta(minutes=settings.admin_idle_minutes),
        session.created_at + timedelta(hours=settings.admin_session_hours),
    )


class Authenticator:
    """Finds the caller of a token with one statement, and without a unit of work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def authenticate(self, token: str) -> Caller:
        """Return the caller that an access token belongs to.

        Raises:
            NotAuthenticated: the token is not ours or has expired, or its session or
                user is deleted or inactive.
            ServiceUnavailable: the database does not answer.
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
        """Return the caller of an `Authorization` header, as `authenticate` does.

        Raises:
            NotAuthenticated
        """
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated
        return await self.authenticate(token.strip())

    async def find(self, user_id: UUID, session_id: UUID) -> Caller | None:
        """Return the caller of a live session; None if it or its user may not act."""
        return await self.find_by(self._runtime.database, user_id, session_id)

    async def resume(self, user_id: UUID, session_id: UUID) -> Caller | None:
        """Return the caller of a browser session, and postpone its idle end.

        The last use is written at most once a minute.
        """
        caller = await self.find(user_id, session_id)
        if caller is not None:
            await self._write_last_use(session_id)
        return caller

    async def _write_last_use(self, session_id: UUID) -> None:
        database, now = self._runtime.database, utc_now()
        last = await database.fetch_one(FIND_LAST_USE, session_id=session_id)
        if last is None or now - last.last_used_at < _WRITE_LAST_USE_EVERY:
            return
        used = LastUse(created_at=last.created_at, last_used_at=now)
        async with database.unit_of_work() as session:
            await SessionRepository(session).note_use(
                session_id, now, admin_expiry(self._runtime.settings, used)
            )

    async def find_by(
        self, reader: Database | Session, user_id: UUID, session_id: UUID
    ) -> Caller | None:
        """Run `find` on a reader: inside its unit of work, if it is a session."""
        row = await reader.fetch_one(
            FIND_CALLER, session_id=session_id, user_id=user_id, now=utc_now()
        )
        if row is None:
            return None
        add_to_request_log(user_id=str(user_id))
        fields: list[Any] = [*astuple(row), self._runtime.permissions.of(row.role)]
        return Caller(*fields)

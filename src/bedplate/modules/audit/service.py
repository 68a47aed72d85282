from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from bedplate.core.clock import utc_now
from bedplate.core.errors import InvalidCursor, raises
from bedplate.core.origin import origin
from bedplate.database import Session
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.audit.repository import AuditRepository
from bedplate.modules.audit.schemas import AuditEventResponse, AuditListParams
from bedplate.runtime import AUDIT_DAYS
from bedplate.schemas import Page


class Action(StrEnum):
    """The events of the audit trail."""

    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    ROLE_CHANGED = "user.role_changed"
    USER_ACTIVATED = "user.activated"
    USER_DEACTIVATED = "user.deactivated"
    USER_DELETED = "user.deleted"
    SIGNED_IN = "auth.signed_in"
    SIGN_IN_FAILED = "auth.sign_in_failed"
    SIGN_IN_REFUSED = "auth.sign_in_refused"
    """The password was right, but the account may not sign in here."""
    SIGN_IN_UNLOCKED = "auth.sign_in_unlocked"
    SIGNED_OUT = "auth.signed_out"
    REFRESH_REUSED = "auth.refresh_reused"
    SESSIONS_REVOKED = "auth.sessions_revoked"
    PASSWORD_CHANGED = "auth.password_changed"  # noqa: S105
    PASSWORD_CHECK_FAILED = "auth.password_check_failed"  # noqa: S105
    PASSWORD_RESET = "auth.password_reset"  # noqa: S105
    EMAIL_VERIFIED = "auth.email_verified"
    EMAIL_CHANGE_REQUESTED = "auth.email_change_requested"
    EMAIL_CHANGED = "auth.email_changed"
    KEYS_ROTATED = "auth.keys_rotated"
    KEY_REVOKED = "auth.key_revoked"


class AuditService:
    """Writes events in the transaction of the action itself, and lists them."""

    def __init__(self, session: Session) -> None:
        self.events = AuditRepository(session)

    async def record(
        self,
        action: Action,
        *,
        actor_id: UUID | None,
        subject_id: UUID | None,
        **details: Any,
    ) -> AuditEvent:
        """Add an event. It is stored if the current transaction commits.

        `details` must not contain a password, a token or a hash.
        """
        request_id, address, user_agent = origin.get()
        now = utc_now()
        # Stored with each event, so that a changed setting applies to later ones only.
        days: int = self.events.session.info[AUDIT_DAYS]
        return await self.events.add(
            AuditEvent(
                created_at=now,
                keep_until=now + timedelta(days=days),
                action=action,
                actor_id=actor_id,
                subject_id=subject_id,
                ip=address,
                user_agent=user_agent,
                request_id=request_id,
                details=details,
            )
        )

    @raises(InvalidCursor)
    async def list_page(self, params: AuditListParams) -> Page[AuditEventResponse]:
        """Return one page of the audit trail, newest first.

        Raises:
            InvalidCursor
        """
        return await self.events.list_page(params)

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Index, String, and_, or_
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.core.clock import utc_now
from bedplate.database import Base

# The database's clock decides what may be deleted, and it may be behind this one.
CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
_UNTIMED: Final = timedelta(days=365)


class AuditEvent(Base):
    """One security-relevant event. Triggers prevent changes, and early deletion.

    It can be deleted after `keep_until`. The ids are not foreign keys, so that the
    events of a deleted account remain.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "subject_id", "action"),
        Index(None, "actor_id"),
        Index(None, "keep_until"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    action: Mapped[str] = mapped_column(String(50))
    actor_id: Mapped[UUID | None] = mapped_column(
        doc="who did it; null if not signed in"
    )
    subject_id: Mapped[UUID | None] = mapped_column(
        doc="the affected account; null if there is none"
    )
    ip: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(255))
    request_id: Mapped[str | None] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    keep_until: Mapped[datetime | None] = mapped_column(
        doc="null in rows of earlier versions: then 365 days after `created_at`"
    )

    @classmethod
    def is_over(cls, now: datetime) -> ColumnElement[bool]:
        """Select events that may be deleted, with a margin for the database's clock."""
        moment = now - CLOCK_DIFFERENCE
        return or_(
            cls.keep_until <= moment,
            and_(cls.keep_until.is_(None), cls.created_at <= moment - _UNTIMED),
        )

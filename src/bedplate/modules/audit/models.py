from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.core.clock import utc_now
from bedplate.database import Base


class AuditEvent(Base):
    """One security-relevant act. Appended, never changed: a trigger refuses updates.

    The ids are no foreign keys: what an account did stays on record when it is gone.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "subject_id", "action"),
        Index(None, "actor_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    action: Mapped[str] = mapped_column(String(50))
    actor_id: Mapped[UUID | None] = mapped_column(doc="who; null for a stranger")
    subject_id: Mapped[UUID | None] = mapped_column(doc="on whom; null if on nobody")
    ip: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(255))
    request_id: Mapped[str | None] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)

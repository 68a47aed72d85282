from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.core.clock import utc_now
from bedplate.core.permissions import USER
from bedplate.database import SECRET, Base, TimestampMixin


class User(TimestampMixin, Base):
    """An account. Its public fields are those of `bedplate.caller.Account`."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        Index(None, "email", "role"),
        # The orders of the list, each with the id that breaks its ties.
        Index(None, "created_at", "id"),
        Index(None, "name", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str] = mapped_column(String(255), doc="email; trimmed, lower-cased")
    name: Mapped[str] = mapped_column(String(100))
    hashed_password: Mapped[str] = mapped_column(String(255), info=SECRET)
    role: Mapped[str] = mapped_column(String(50), default=USER, server_default=USER)
    is_active: Mapped[bool] = mapped_column(default=True, server_default=true())
    email_verified_at: Mapped[datetime | None]
    security_version: Mapped[int] = mapped_column(
        default=0,
        server_default="0",
        doc="version; advanced by every recovery, which voids links from before",
    )

    @property
    def greeted_as(self) -> str:
        """The name for emails; empty until the address is verified.

        Before that, a stranger may have signed up with another person's address, and
        the name is the stranger's text.
        """
        return self.name if self.email_verified_at else ""

    @hybrid_property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None

    @email_verified.inplace.expression
    @classmethod
    def _email_verified_expression(cls) -> ColumnElement[bool]:
        return cls.email_verified_at.is_not(None).label("email_verified")


class UserSession(Base):
    """A session. It ends when its row is deleted: tokens are valid while it exists."""

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ip: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(255))
    generation: Mapped[int] = mapped_column(
        default=0, doc="generation; how often the refresh token was rotated"
    )

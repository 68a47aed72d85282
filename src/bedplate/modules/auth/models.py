from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.core.clock import utc_now
from bedplate.database import SECRET, Base


class RefreshToken(Base):
    """A refresh token, live or spent. Only its hash is stored.

    The tokens of a session's present generation are live until one of them is used.
    Spent ones stay, so that the reuse of a stolen one is detected.
    """

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True, info=SECRET)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    generation: Mapped[int]
    issued_at: Mapped[datetime] = mapped_column(default=utc_now)
    spent_at: Mapped[datetime | None] = mapped_column(index=True)
    was_used: Mapped[bool] = mapped_column(default=False, server_default=false())


class OneTimeToken(Base):
    """The token of a link in an email. A new one voids the account's older one.

    There is one for each account and purpose. It is valid while its `security_version`
    is the account's, and is deleted when it is used.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (UniqueConstraint("user_id", "purpose"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, info=SECRET)
    email: Mapped[str] = mapped_column(
        String(255), doc="email; the address it was sent to"
    )
    security_version: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(Base):
    """A key pair for access tokens. Its private key is stored encrypted."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(40), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(10))
    private_key: Mapped[str] = mapped_column(Text, info=SECRET)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    retires_at: Mapped[datetime | None]

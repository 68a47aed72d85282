from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from bedplate.database import Base, TimestampMixin


class Post(TimestampMixin, Base):
    """A text by a user. Without `published_at` it is a draft."""

    __tablename__ = "posts"
    __table_args__ = (
        # The orders of the list, each with the id that breaks its ties.
        Index(None, "created_at", "id"),
        Index(None, "published_at", "id"),
        Index(None, "title", "id"),
        Index(None, "author_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(255))
    content: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime | None]

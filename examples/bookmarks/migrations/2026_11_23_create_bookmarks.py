"""Create bookmarks.

Revision ID: bookmarks_0001
"""

import sqlalchemy as sa
from alembic import op

from bedplate import UTCDateTime

revision = "bookmarks_0001"
down_revision = None
branch_labels = ("bookmarks",)
depends_on = "0001"


def upgrade() -> None:
    op.create_table(
        "bookmarks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
            name=op.f("fk_bookmarks_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bookmarks")),
        sa.UniqueConstraint("owner_id", "url", name=op.f("uq_bookmarks_owner_id_url")),
    )
    op.create_index(
        op.f("ix_bookmarks_owner_id_created_at_id"),
        "bookmarks",
        ["owner_id", "created_at", "id"],
    )


def downgrade() -> None:
    op.drop_table("bookmarks")

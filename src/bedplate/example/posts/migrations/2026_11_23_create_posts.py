"""Create posts.

Revision ID: posts_0001
Depends on: 0004
"""

import sqlalchemy as sa
from alembic import op

from bedplate.database import UTCDateTime, create_search_index

revision = "posts_0001"
down_revision = None
branch_labels = ("posts",)
depends_on = "0004"


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("published_at", UTCDateTime(), nullable=True),
        sa.Column(
            "created_at", UTCDateTime(), server_default=sa.func.now(), nullable=False
        ),
        sa.Column(
            "updated_at", UTCDateTime(), server_default=sa.func.now(), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["author_id"],
            ["users.id"],
            name=op.f("fk_posts_author_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posts")),
    )
    for columns in (
        ["created_at", "id"],
        ["published_at", "id"],
        ["title", "id"],
        ["author_id", "created_at", "id"],
    ):
        op.create_index(op.f(f"ix_posts_{'_'.join(columns)}"), "posts", columns)
    create_search_index(op.get_bind(), "posts", "title", "content")


def downgrade() -> None:
    op.drop_table("posts")

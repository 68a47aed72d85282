"""Let the search of accounts use an index, where PostgreSQL has trigrams.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

from bedplate.database import create_search_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_search_index(op.get_bind(), "users", "email", "name")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_users_email_name_trgm")

"""Add the version of an account that every recovery advances.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("users", "one_time_tokens")


def upgrade() -> None:
    for table in TABLES:
        column = sa.Column(
            "security_version", sa.Integer(), server_default="0", nullable=False
        )
        op.add_column(table, column)


def downgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("security_version")

"""Prevent the deletion of each audit event before its `keep_until`.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from bedplate.database import UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MESSAGE = "audit_events is append-only: an event is kept until its keep_until"

# Events from before this revision have no `keep_until`: they are kept for 365 days.
# Events with an invalid time are kept forever.
_ON_SQLITE = (
    f"""
    CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
    WHEN coalesce(
        OLD.keep_until, datetime(OLD.created_at, '+365 days'), '9999'
    ) > strftime('%Y-%m-%d %H:%M:%f', 'now')
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
    """,
    # REPLACE deletes a conflicting row without firing the trigger for deletions.
    """
    CREATE TRIGGER audit_events_not_replaced BEFORE INSERT ON audit_events
    WHEN EXISTS (
        SELECT 1 FROM audit_events WHERE id = NEW.id
        OR (rowid = NEW.rowid AND NEW.rowid <> -1)
    )
    BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END
    """,
)
_ON_POSTGRESQL = (
    # A fixed search path, because `now()` could otherwise be a function of the caller.
    f"""
    CREATE FUNCTION audit_events_kept() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF coalesce(OLD.keep_until, OLD.created_at + interval '8760 hours') > now() THEN
            RAISE EXCEPTION '{MESSAGE}';
        END IF;
        RETURN OLD;
    END $$
    """,
    """
    CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_kept()
    """,
    """
    CREATE TRIGGER audit_events_not_truncated BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()
    """,
)


def upgrade() -> None:
    op.add_column("audit_events", sa.Column("keep_until", UTCDateTime(), nullable=True))
    op.create_index(op.f("ix_audit_events_keep_until"), "audit_events", ["keep_until"])
    for statement in _ON_SQLITE if _is_sqlite() else _ON_POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    if _is_sqlite():
        op.execute("DROP TRIGGER audit_events_not_replaced")
        op.execute("DROP TRIGGER audit_events_kept")
    else:
        op.execute("DROP TRIGGER audit_events_not_truncated ON audit_events")
        op.execute("DROP FUNCTION audit_events_kept() CASCADE")
    op.drop_index(op.f("ix_audit_events_keep_until"), "audit_events")
    op.drop_column("audit_events", "keep_until")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"

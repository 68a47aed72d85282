"""Alembic's environment. `bedplate.migrate` passes it the connection."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.sql.functions import now

from bedplate.database import Base, ExactDecimal, UTCDateTime
from bedplate.database.search import SEARCH_INDEX

_EXAMPLE_MIGRATIONS = "bedplate:example/posts/migrations"
LOCK = 0xBED_1A7E  # an arbitrary number: only one process migrates at a time


def tables_left_out() -> set[str]:
    """Return the example's tables, if the application doesn't run its revisions.

    They are in the metadata as soon as something imports the example.
    """
    if _EXAMPLE_MIGRATIONS in (context.config.get_version_locations_list() or []):
        return set()
    return {
        str(mapper.local_table)
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.startswith("bedplate.example.")
    }


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Return whether it is Bedplate's: other tools' tables must not be dropped."""
    if kind == "index":  # no model declares it, because not every database has it
        return not (name or "").endswith(SEARCH_INDEX)
    return kind != "table" or name in Base.metadata.tables


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Render types that both databases support, so that a revision runs on either."""
    if kind == "server_default" and isinstance(getattr(item, "arg", None), now):
        return "sa.func.now()"
    if kind == "type" and isinstance(item, UTCDateTime):
        autogen.imports.add("from bedplate.database import UTCDateTime")
        return "UTCDateTime()"
    if kind == "type" and isinstance(item, ExactDecimal):
        autogen.imports.add("from bedplate.database import ExactDecimal")
        digits: Any = item.impl
        return f"ExactDecimal({digits.precision}, {digits.scale})"
    return False


def run(connection: sa.Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    left_out = tables_left_out()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        include_object=lambda _, name, kind, *__: (
            kind != "table" or name not in left_out
        ),
        render_item=render_item,
        # SQLite can't alter most of a table, so Alembic copies it.
        render_as_batch=is_sqlite,
        # SQLite reports defaults in another form than the models'.
        compare_server_default=not is_sqlite,
        # One transaction for all: a failed migration leaves the schema as it was.
        transaction_per_migration=False,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    if not is_sqlite:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        # Only after the lock above, on which a second process may wait longer. A
        # migration that waits for a table makes all later queries of it wait.
        connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
    context.run_migrations()
    # `bedplate.migrate` turns foreign keys off on SQLite, so they are checked here.
    if is_sqlite and (broken := connection.exec_driver_sql(CHECK).first()):
        raise RuntimeError(f"the migration breaks a foreign key of {broken[0]}")


CHECK = "PRAGMA foreign_key_check"

run(context.config.attributes["connection"])

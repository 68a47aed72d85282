"""Finds the rows that still refer to a row that can't be deleted."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bedplate.core.errors import Conflict
from bedplate.database.driver_errors import BrokenReference, driver_error


class Reference(NamedTuple):
    """A foreign key that refers to a row: its table and its constraint."""

    table: str
    constraint: str | None


def still_referenced(
    session: Session, error: BaseException, table: sa.Table, identity: Any
) -> Conflict:
    """Return the error for a row that the database refused to delete.

    It is the error that was declared for the foreign key's constraint, otherwise one
    that names the referring table. The session must have been rolled back.
    """
    reference = _from_error(error) or next(_references(session, table, identity), None)
    if reference is None:
        return BrokenReference()
    declared = Conflict.by_constraint.get(reference.constraint or "")
    if declared is not None:
        return declared()
    return BrokenReference(
        f"It can't be deleted while {reference.table} refer to it. Delete those first."
    )


def _from_error(error: BaseException) -> Reference | None:
    """Return the reference that PostgreSQL reports. SQLite reports none."""
    cause = driver_error(error)
    table = getattr(cause, "table_name", None)
    return Reference(table, getattr(cause, "constraint_name", None)) if table else None


def _references(
    session: Session, table: sa.Table, identity: Any
) -> Iterator[Reference]:
    key = sa.inspect(table).primary_key.columns[0]
    rows = sa.select(key).where(key == identity)
    connection = session.connection()
    keys = _foreign_keys(connection)
    yield from _search(connection, keys, table.name, key.name, rows, set())


def _foreign_keys(connection: sa.Connection) -> list[tuple[str, Any]]:
    """Return every foreign key of the database, including those of other tools."""
    inspector = sa.inspect(connection)
    return [
        (table, key)
        for table in inspector.get_table_names()
        for key in inspector.get_foreign_keys(table)
    ]


def _search(
    connection: sa.Connection,
    keys: list[tuple[str, Any]],
    name: str,
    column: str,
    rows: Any,
    visited: set[str],
) -> Iterator[Reference]:
    """Yield references to these rows, or to rows that would be deleted with them."""
    for table, key in keys:
        if key["referred_table"] != name or key["referred_columns"] != [column]:
            continue
        action = key["options"].get("ondelete", "NO ACTION").upper()
        referring = sa.column(key["constrained_columns"][0]).in_(rows)
        if action in ("RESTRICT", "NO ACTION"):
            query = _select(sa.literal(1), table, referring)
            # One query per table is fine: this runs only after a refused delete.
            if connection.scalar(query):  # bedplate: ignore[query-in-loop]
                yield Reference(table, key["name"])
        elif action == "CASCADE" and table not in visited:
            yield from _follow(connection, keys, table, referring, visited | {name})


def _follow(
    connection: sa.Connection,
    keys: list[tuple[str, Any]],
    table: str,
    referring: Any,
    visited: set[str],
) -> Iterator[Reference]:
    columns = sa.inspect(connection).get_pk_constraint(table)["constrained_columns"]
    if len(columns) == 1:  # nothing refers to part of a composite key
        rows = _select(sa.column(columns[0]), table, referring)
        yield from _search(connection, keys, table, columns[0], rows, visited)


def _select(column: Any, table: str, condition: Any) -> Any:
    return sa.select(column).select_from(sa.table(table)).where(condition)

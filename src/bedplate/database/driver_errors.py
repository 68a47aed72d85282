"""Converts errors of the database to API errors."""

import re
import sqlite3
from typing import Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy import exc

from bedplate.core.errors import APIError, Conflict, ServiceUnavailable


class DatabaseUnreachable(ServiceUnavailable):
    """No connection could be opened. The exception's cause has the reason."""


class BrokenReference(Conflict):
    """A violated foreign key for which no error was declared."""

    message = "It refers to something that doesn't exist, or is still referred to"


_CONSTRAINT_ERRORS: Final = (
    sqlite3.IntegrityError,
    asyncpg.IntegrityConstraintViolationError,
)
_UNAVAILABLE: Final = (
    TimeoutError,  # of a statement
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting, canceled
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,  # "connection is closed"
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
# SQLite's primary codes: busy, locked, no memory, read-only, I/O error, corrupt, full,
# can't open, not a database.
_SQLITE_UNAVAILABLE: Final = {5, 6, 7, 8, 10, 11, 13, 14, 26}


def translate(error: BaseException, metadata: sa.MetaData) -> APIError | None:
    """Return the API error for a database error; None if it is a bug.

    A violated constraint becomes the `Conflict` that was declared for its name. If the
    database is unavailable, it becomes `ServiceUnavailable`.
    """
    cause = driver_error(error)
    if isinstance(cause, _CONSTRAINT_ERRORS):
        name = constraint_name(cause, metadata) or ""
        conflict = Conflict.by_constraint.get(name, _foreign_key_error(cause))
        return conflict() if conflict else None
    return ServiceUnavailable() if is_unavailable(error) else None


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the database was unavailable, rather than the statement wrong."""
    if isinstance(error, exc.TimeoutError):
        return True  # of the pool
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or is_unavailable(driver_error(error))
    if isinstance(error, sqlite3.DatabaseError):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_UNAVAILABLE
    return isinstance(error, _UNAVAILABLE)


def _foreign_key_error(cause: BaseException) -> type[Conflict] | None:
    """Return the error for any foreign key. SQLite doesn't report which one it was."""
    postgres_errors = (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError)
    # Read the text: SQLite reports `ON DELETE RESTRICT` with the code of a trigger.
    in_sqlite = "FOREIGN KEY constraint failed" in str(cause)
    return BrokenReference if isinstance(cause, postgres_errors) or in_sqlite else None


def breaks_reference(error: BaseException) -> bool:
    """Return whether a foreign key was violated, rather than another constraint."""
    cause = driver_error(error)
    return cause is not None and _foreign_key_error(cause) is BrokenReference


def constraint_name(cause: BaseException, metadata: sa.MetaData) -> str | None:
    """Return the name of the violated constraint of a driver's error.

    PostgreSQL reports the name. SQLite reports the columns, which identify it.
    """
    name = getattr(cause, "constraint_name", None)
    if isinstance(name, str):
        return name
    text = str(cause)
    if match := re.fullmatch(r"CHECK constraint failed: (\w+)", text):
        return match[1]
    if match := re.fullmatch(r"UNIQUE constraint failed: (.+)", text):
        return _unique_constraint_on(match[1], metadata)
    return None


def driver_error(error: BaseException) -> BaseException | None:
    """Return the driver's own exception, inside SQLAlchemy's and its adapter's."""
    if not isinstance(error, exc.DBAPIError):
        return error
    return error.orig.__cause__ or error.orig if error.orig is not None else None


def _unique_constraint_on(columns: str, metadata: sa.MetaData) -> str | None:
    """Return the constraint for SQLite's text, `uq_users_email` for `users.email`.

    For an index on an expression the text is `index 'name'`.
    """
    if match := re.fullmatch(r"index '(\w+)'", columns):
        return match[1]
    names = columns.split(", ")
    table = metadata.tables.get(names[0].partition(".")[0])
    if table is None:
        return None
    unique = (sa.UniqueConstraint, sa.PrimaryKeyConstraint)
    candidates: list[sa.UniqueConstraint | sa.PrimaryKeyConstraint | sa.Index] = [
        *(c for c in table.constraints if isinstance(c, unique)),
        *(i for i in table.indexes if i.unique),
    ]
    for candidate in candidates:
        if [f"{table.name}.{column.name}" for column in candidate.columns] == names:
            return str(candidate.name)
    return None

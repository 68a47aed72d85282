"""What the database's own errors mean to a caller."""

import re
import sqlite3
from typing import Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy import exc

from bedplate.core.errors import APIError, Conflict, ServiceUnavailable


class DatabaseUnreachable(ServiceUnavailable):
    """No connection could be made; the cause says why."""


class BrokenReference(Conflict):
    """A foreign key for which no error was declared."""

    message = "It refers to what isn't there, or something still refers to it"


_REFUSED: Final = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
_GONE: Final = (
    TimeoutError,  # of a statement
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting, cancelled
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,  # "connection is closed"
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
# The primary codes: busy, locked, no memory, read-only, I/O error, corrupt, full, can't
# open, not a database.
_SQLITE_TROUBLE: Final = {5, 6, 7, 8, 10, 11, 13, 14, 26}


def translate(error: BaseException, metadata: sa.MetaData) -> APIError | None:
    """The error that a caller should see for a database error; None is a bug of ours.

    A named constraint becomes the `Conflict` that was declared for it; a database that
    can't be had becomes `ServiceUnavailable`.
    """
    refusal = driver_error(error)
    if isinstance(refusal, _REFUSED):
        name = constraint_name(refusal, metadata) or ""
        named = Conflict.by_constraint.get(name, _unnamed(refusal))
        return named() if named else None
    return ServiceUnavailable() if is_unavailable(error) else None


def is_unavailable(error: BaseException | None) -> bool:
    """Whether the database couldn't be had, as against a statement that is wrong."""
    if isinstance(error, exc.TimeoutError):
        return True  # of the pool
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or is_unavailable(driver_error(error))
    if isinstance(error, sqlite3.DatabaseError):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_TROUBLE
    return isinstance(error, _GONE)


def _unnamed(refusal: BaseException) -> type[Conflict] | None:
    """Return the error of a foreign key: SQLite doesn't say which one it was."""
    of_references = (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError)
    # By its text: `ON DELETE RESTRICT` comes with the code of a trigger.
    is_sqlites = "FOREIGN KEY constraint failed" in str(refusal)
    return BrokenReference if isinstance(refusal, of_references) or is_sqlites else None


def breaks_reference(error: BaseException) -> bool:
    """Return whether a foreign key was violated, rather than another constraint."""
    refusal = driver_error(error)
    return refusal is not None and _unnamed(refusal) is BrokenReference


def constraint_name(refusal: BaseException, metadata: sa.MetaData) -> str | None:
    """The violated constraint. PostgreSQL tells its name, SQLite the columns."""
    name = getattr(refusal, "constraint_name", None)
    if isinstance(name, str):
        return name
    text = str(refusal)
    if match := re.fullmatch(r"CHECK constraint failed: (\w+)", text):
        return match[1]
    if match := re.fullmatch(r"UNIQUE constraint failed: (.+)", text):
        return _unique_constraint_on(match[1], metadata)
    return None


def driver_error(error: BaseException) -> BaseException | None:
    """The driver's own exception, under SQLAlchemy's and its adapter's."""
    if not isinstance(error, exc.DBAPIError):
        return error
    return error.orig.__cause__ or error.orig if error.orig is not None else None


def _unique_constraint_on(columns: str, metadata: sa.MetaData) -> str | None:
    """`users.email` to `uq_users_email`; `index 'name'` for one on an expression."""
    if match := re.fullmatch(r"index '(\w+)'", columns):
        return match[1]
    wanted = columns.split(", ")
    table = metadata.tables.get(wanted[0].partition(".")[0])
    if table is None:
        return None
    unique = (sa.UniqueConstraint, sa.PrimaryKeyConstraint)
    candidates: list[sa.UniqueConstraint | sa.PrimaryKeyConstraint | sa.Index] = [
        *(c for c in table.constraints if isinstance(c, unique)),
        *(i for i in table.indexes if i.unique),
    ]
    for candidate in candidates:
        if [f"{table.name}.{column.name}" for column in candidate.columns] == wanted:
            return str(candidate.name)
    return None

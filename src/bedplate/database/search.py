"""Case-insensitive search for part of a text, with an index if the database has one."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

_HAS_UTF8_COLLATION = (17,)
SEARCH_INDEX = "_trgm"
"""The suffix of the names of search indexes, which not every database has."""


class unicode_lower(GenericFunction[str]):  # noqa: N801, it is a SQL function's name
    """`lower()` for all of Unicode, on SQLite too."""

    inherit_cache = True
    type = sa.String()


@compiles(unicode_lower, "postgresql")
def _lower(element: unicode_lower, compiler: Any, **options: Any) -> str:
    return _lowered(compiler.process(element.clauses, **options), compiler.dialect)


def _lowered(sql: str, dialect: sa.Dialect) -> str:
    # A database in the C locale lowers ASCII only, unless the SQL names a collation.
    version = dialect.server_version_info or (0,)
    collation = ' COLLATE "pg_c_utf8"' if version >= _HAS_UTF8_COLLATION else ""
    return f"lower(({sql}){collation})"


def create_search_index(connection: sa.Connection, table: str, *columns: str) -> None:
    """Create an index for `q` over these columns, in a migration.

    PostgreSQL with the extension pg_trgm gets one (GIN, trigrams), for patterns of
    three characters or more. Elsewhere nothing is created, and `q` reads every row.
    """
    if connection.dialect.name != "postgresql" or not _has_trigrams(connection):
        return
    parts = [f"{_lowered(c, connection.dialect)} gin_trgm_ops" for c in columns]
    name = f"ix_{table}_{'_'.join(columns)}{SEARCH_INDEX}"
    connection.exec_driver_sql(
        f"CREATE INDEX {name} ON {table} USING gin ({', '.join(parts)})"
    )


def _has_trigrams(connection: sa.Connection) -> bool:
    """Return whether the extension exists, or this role can create it."""
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if not connection.exec_driver_sql(available).first():
        return False
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except sa.exc.ProgrammingError:
        return False
    return True


def contains(text: str) -> str:
    r"""Return a LIKE pattern that finds `text` anywhere; `%`, `_`, `\` are literal."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"

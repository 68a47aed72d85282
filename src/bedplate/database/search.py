"""Searching for a part of a text, whatever its case, by an index where there is one."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

_HAS_UTF8_COLLATION = (17,)
SEARCH_INDEX = "_trgm"
"""How the names of search indexes end: not every database has them."""


class unicode_lower(GenericFunction[str]):  # noqa: N801, it is a SQL function's name
    """`lower()` that knows more than ASCII, on SQLite too."""

    inherit_cache = True
    type = sa.String()


@compiles(unicode_lower, "postgresql")
def _lower(element: unicode_lower, compiler: Any, **options: Any) -> str:
    return _lowered(compiler.process(element.clauses, **options), compiler.dialect)


def _lowered(sql: str, dialect: sa.Dialect) -> str:
    # A database made in the C locale lowers ASCII only, unless it is told a collation.
    version = dialect.server_version_info or (0,)
    collation = ' COLLATE "pg_c_utf8"' if version >= _HAS_UTF8_COLLATION else ""
    return f"lower(({sql}){collation})"


def create_search_index(connection: sa.Connection, table: str, *columns: str) -> None:
    """For a migration: let `q` over these columns use an index, where it can.

    PostgreSQL with its extension pg_trgm has one (GIN, trigrams), for patterns of three
    characters or more. Elsewhere nothing is made, and `q` reads every row.
    """
    if connection.dialect.name != "postgresql" or not _has_trigrams(connection):
        return
    parts = [f"{_lowered(c, connection.dialect)} gin_trgm_ops" for c in columns]
    name = f"ix_{table}_{'_'.join(columns)}{SEARCH_INDEX}"
    connection.exec_driver_sql(
        f"CREATE INDEX {name} ON {table} USING gin ({', '.join(parts)})"
    )


def _has_trigrams(connection: sa.Connection) -> bool:
    """Whether the extension is there, or can be had by this role."""
    offered = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if not connection.exec_driver_sql(offered).first():
        return False
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except sa.exc.ProgrammingError:
        return False
    return True


def contains(text: str) -> str:
    r"""A LIKE pattern that finds `text` anywhere; `%`, `_` and `\` are literal."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"

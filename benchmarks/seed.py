"""Fills a database with the same rows, on PostgreSQL and on SQLite."""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy.engine import make_url
from uuid_utils.compat import uuid7

from bedplate.core.security import hash_password
from bedplate.example import BUILT_IN
from bedplate.testing.databases import migrate_url

PASSWORD = "Passw0rd-of-benchmarks"
ADMIN_EMAIL = "admin@example.com"
_POST_COLUMNS = (
    "id",
    "author_id",
    "title",
    "content",
    "published_at",
    "created_at",
    "updated_at",
)
_COLUMNS = (
    "id",
    "email",
    "name",
    "hashed_password",
    "role",
    "is_active",
    "email_verified_at",
    "created_at",
    "updated_at",
)


class Account(NamedTuple):
    """A row of `users`, in the order of the columns."""

    id: UUID
    email: str
    name: str
    hashed_password: str
    role: str
    is_active: bool
    email_verified_at: datetime
    created_at: datetime
    updated_at: datetime


class Post(NamedTuple):
    """A row of `posts`, in the order of the columns."""

    id: UUID
    author_id: UUID
    title: str
    content: str
    published_at: datetime
    created_at: datetime
    updated_at: datetime


def seed(url: str, users: int, posts: int, data_dir: Path) -> list[Account]:
    """Migrate an empty database, fill it, and return its accounts, the admin first.

    All accounts have the same password hash, because hashing takes about 45 ms.
    """
    migrate_url(url, data_dir, BUILT_IN)
    accounts = list(_accounts(users, asyncio.run(hash_password(PASSWORD))))
    rows = _posts(posts, accounts)
    if url.startswith("postgresql"):
        asyncio.run(_fill_postgres(url, accounts, rows))
    else:
        _fill_sqlite(make_url(url).database or "", accounts, rows)
    return accounts


def _posts(posts: int, accounts: list[Account]) -> Iterator[Post]:
    first = datetime.now(UTC) - timedelta(days=365)
    for i in range(posts):
        at = first + timedelta(seconds=i, microseconds=i)
        author = accounts[i % min(len(accounts), 1000)].id
        yield Post(uuid7(), author, f"Post {i}", f"Text {i}. " * 20, at, at, at)


def _accounts(users: int, hashed_password: str) -> Iterator[Account]:
    first = datetime.now(UTC) - timedelta(days=365)
    for i in range(users + 1):
        at = first + timedelta(seconds=i, microseconds=i)
        yield Account(
            id=uuid7(),
            email=f"user{i}@example.com" if i else ADMIN_EMAIL,
            name=f"User {i}" if i else "An Admin",
            hashed_password=hashed_password,
            role="user" if i else "admin",
            is_active=True,
            email_verified_at=at,
            created_at=at,
            updated_at=at,
        )


async def _fill_postgres(
    url: str, accounts: list[Account], posts: Iterator[Post]
) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "users", columns=_COLUMNS, records=accounts
        )
        await connection.copy_records_to_table(
            "posts", columns=_POST_COLUMNS, records=posts
        )
        # As autovacuum does later: it updates the statistics, and the visibility map
        # that lets `count(*)` read only an index.
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _fill_sqlite(path: str, accounts: list[Account], posts: Iterator[Post]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns, rows in (
            ("users", _COLUMNS, iter(accounts)),
            ("posts", _POST_COLUMNS, posts),
        ):
            places = ", ".join("?" * len(columns))
            insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608, constants
            connection.executemany(insert, map(_sqlite_values, rows))
        connection.execute("ANALYZE")


def _sqlite_values(row: Iterable[Any]) -> list[Any]:
    return [_sqlite_value(value) for value in row]


def _sqlite_value(value: Any) -> Any:
    """Convert a value like the service's column types in `bedplate.database.base`."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return str(value.replace(tzinfo=None))
    return value

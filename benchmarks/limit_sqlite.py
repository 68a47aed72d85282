"""The limit on SQLite: Starlette and the standard library's driver in one thread."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from starlette.applications import Starlette
from uuid_utils.compat import uuid7

from bedplate.core.pagination import Position
from benchmarks.limit_common import (
    DATABASE_URL,
    SESSION_DAYS,
    AuthorBody,
    Claims,
    PageRequest,
    PostBody,
    PostRequest,
    UserBody,
    make_app,
)

T = TypeVar("T")

_COLUMNS = (
    "u.id, u.email, u.name, u.role, u.is_active, u.email_verified_at IS NOT NULL, "
    "u.created_at, u.updated_at"
)
_CALLER = (
    f"SELECT {_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id "  # noqa: S608, constants
    "WHERE s.id = ? AND u.id = ? AND s.expires_at > ? AND u.is_active"
)
_USER = f"SELECT {_COLUMNS} FROM users u WHERE u.id = ?"  # noqa: S608, constants
_LIST = f"SELECT {_COLUMNS} FROM users u"  # noqa: S608, constants
_ORDER = "ORDER BY u.created_at DESC, u.id DESC"
_PAGE = f"{_LIST} {_ORDER} LIMIT ? OFFSET ?"
_START = f"{_LIST} {_ORDER} LIMIT ?"
_AFTER = f"{_LIST} WHERE (u.created_at, u.id) < (?, ?) {_ORDER} LIMIT ?"
_COUNT = "SELECT count(*) FROM users"
_POSTS = (
    "SELECT p.id, p.title, p.content, u.id, u.name, p.published_at, p.created_at, "
    "p.updated_at FROM posts p JOIN users u ON u.id = p.author_id"
)
_POSTS_ORDER = "ORDER BY p.created_at DESC, p.id DESC"
_POSTS_PAGE = f"{_POSTS} {_POSTS_ORDER} LIMIT ? OFFSET ?"
_POSTS_START = f"{_POSTS} {_POSTS_ORDER} LIMIT ?"
_POSTS_AFTER = f"{_POSTS} WHERE (p.created_at, p.id) < (?, ?) {_POSTS_ORDER} LIMIT ?"
_COUNT_POSTS = "SELECT count(*) FROM posts"
_CREATE_POST = (
    "INSERT INTO posts"
    " (id, author_id, title, content, published_at, created_at, updated_at)"
    " VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?5)"
)
_ACCOUNT = "SELECT id, hashed_password FROM users WHERE email = ? AND is_active"
_OPEN_SESSION = (
    "INSERT INTO sessions"
    " (id, user_id, created_at, last_used_at, expires_at, generation)"
    " VALUES (?1, ?2, ?3, ?3, ?4, 0)"
)


class SqliteStore:
    """Runs all statements of a request in one call to a single thread."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA busy_timeout=10000")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _fetch(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, arguments).fetchall()

    def _check_caller(self, claims: Claims, user_id: UUID | None = None) -> str:
        """Check the caller's session and permission, and return the caller's name."""
        session_id, caller_id, now = claims
        rows = self._fetch(_CALLER, session_id.hex, caller_id.hex, _text(now))
        if not rows or (rows[0][3] != "admin" and caller_id != user_id):
            raise PermissionError
        return str(rows[0][2])

    async def user(self, claims: Claims, user_id: UUID) -> UserBody:
        def work() -> list[tuple[Any, ...]]:
            self._check_caller(claims, user_id)
            return self._fetch(_USER, user_id.hex)

        return _body((await self._in_thread(work))[0])

    async def page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[UserBody]]:
        def work() -> tuple[int, list[tuple[Any, ...]]]:
            self._check_caller(claims)
            [[total]] = self._fetch(_COUNT)
            return total, self._fetch(_PAGE, page.size, page.skipped)

        total, rows = await self._in_thread(work)
        return total, [_body(row) for row in rows]

    async def after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[UserBody]:
        def work() -> list[tuple[Any, ...]]:
            self._check_caller(claims)
            if position is None:
                return self._fetch(_START, rows)
            return self._fetch(_AFTER, _text(position.value), position.id.hex, rows)

        return [_body(row) for row in await self._in_thread(work)]

    async def posts_page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[PostBody]]:
        def work() -> tuple[int, list[tuple[Any, ...]]]:
            self._check_caller(claims)
            [[total]] = self._fetch(_COUNT_POSTS)
            return total, self._fetch(_POSTS_PAGE, page.size, page.skipped)

        total, rows = await self._in_thread(work)
        return total, [_post(row) for row in rows]

    async def posts_after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[PostBody]:
        def work() -> list[tuple[Any, ...]]:
            self._check_caller(claims)
            if position is None:
                return self._fetch(_POSTS_START, rows)
            after = (_text(position.value), position.id.hex)
            return self._fetch(_POSTS_AFTER, *after, rows)

        return [_post(row) for row in await self._in_thread(work)]

    async def create_post(self, claims: Claims, post: PostRequest) -> PostBody:
        id_, now = uuid7(), datetime.now(UTC)
        author_id = claims.user_id

        def work() -> str:
            name = self._check_caller(claims)
            values = (id_.hex, author_id.hex, post.title, post.content, _text(now))
            self._fetch(_CREATE_POST, *values)
            return name

        author = AuthorBody(author_id, await self._in_thread(work))
        return PostBody(id_, post.title, post.content, author, None, now, now)

    async def account(self, email: str) -> tuple[UUID, str]:
        rows = await self._in_thread(lambda: self._fetch(_ACCOUNT, email))
        return UUID(rows[0][0]), rows[0][1]

    async def open_session(self, user_id: UUID) -> UUID:
        id_, now = uuid7(), datetime.now(UTC)
        ends = now + timedelta(days=SESSION_DAYS)
        values = (id_.hex, user_id.hex, _text(now), _text(ends))
        await self._in_thread(lambda: self._fetch(_OPEN_SESSION, *values))
        return id_

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()


def _text(instant: datetime) -> str:
    return str(instant.replace(tzinfo=None))


def _body(row: Sequence[Any]) -> UserBody:
    id_, email, name, role, is_active, verified, created_at, updated_at = row
    return UserBody(
        UUID(id_),
        email,
        name,
        role,
        bool(is_active),
        bool(verified),
        _instant(created_at),
        _instant(updated_at),
    )


def _post(row: Sequence[Any]) -> PostBody:
    id_, title, content, author_id, author_name, published, created, updated = row
    return PostBody(
        UUID(id_),
        title,
        content,
        AuthorBody(UUID(author_id), author_name),
        _instant(published) if published else None,
        _instant(created),
        _instant(updated),
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


store = SqliteStore(DATABASE_URL.removeprefix("sqlite:///"))


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    store.close()


app = make_app(store, _lifespan)

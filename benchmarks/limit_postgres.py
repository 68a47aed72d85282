"""The limit on PostgreSQL: Starlette and asyncpg."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
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

_POOL_SIZE = 20  # the service's default
_COLUMNS = (
    "u.id, u.email, u.name, u.role, u.is_active, u.email_verified_at IS NOT NULL, "
    "u.created_at, u.updated_at"
)
_CALLER = (
    f"SELECT {_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id "  # noqa: S608, constants
    "WHERE s.id = $1 AND u.id = $2 AND s.expires_at > $3 AND u.is_active"
)
_USER = f"SELECT {_COLUMNS} FROM users u WHERE u.id = $1"  # noqa: S608, constants
_LIST = f"SELECT {_COLUMNS} FROM users u"  # noqa: S608, constants
_ORDER = "ORDER BY u.created_at DESC, u.id DESC"
_PAGE = f"{_LIST} {_ORDER} LIMIT $1 OFFSET $2"
_START = f"{_LIST} {_ORDER} LIMIT $1"
_AFTER = f"{_LIST} WHERE (u.created_at, u.id) < ($2, $3) {_ORDER} LIMIT $1"
_COUNT = "SELECT count(*) FROM users"
_POSTS = (
    "SELECT p.id, p.title, p.content, u.id, u.name, p.published_at, p.created_at, "
    "p.updated_at FROM posts p JOIN users u ON u.id = p.author_id"
)
_POSTS_ORDER = "ORDER BY p.created_at DESC, p.id DESC"
_POSTS_PAGE = f"{_POSTS} {_POSTS_ORDER} LIMIT $1 OFFSET $2"
_POSTS_START = f"{_POSTS} {_POSTS_ORDER} LIMIT $1"
_POSTS_AFTER = f"{_POSTS} WHERE (p.created_at, p.id) < ($2, $3) {_POSTS_ORDER} LIMIT $1"
_COUNT_POSTS = "SELECT count(*) FROM posts"
_CREATE_POST = (
    "INSERT INTO posts"
    " (id, author_id, title, content, published_at, created_at, updated_at)"
    " VALUES ($1, $2, $3, $4, NULL, $5, $5)"
)
_ACCOUNT = "SELECT id, hashed_password FROM users WHERE email = $1 AND is_active"
_OPEN_SESSION = (
    "INSERT INTO sessions"
    " (id, user_id, created_at, last_used_at, expires_at, generation)"
    " VALUES ($1, $2, $3, $3, $4, 0)"
)


class PostgresStore:
    pool: asyncpg.Pool

    async def user(self, claims: Claims, user_id: UUID) -> UserBody:
        async with self.pool.acquire() as connection:
            await _check_caller(connection, claims, user_id)
            return UserBody(*await connection.fetchrow(_USER, user_id))

    async def page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[UserBody]]:
        async with self.pool.acquire() as connection:
            await _check_caller(connection, claims)
            total = await connection.fetchval(_COUNT)
            rows = await connection.fetch(_PAGE, page.size, page.skipped)
        return total, [UserBody(*row) for row in rows]

    async def after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[UserBody]:
        async with self.pool.acquire() as connection:
            await _check_caller(connection, claims)
            if position is None:
                records = await connection.fetch(_START, rows)
            else:
                records = await connection.fetch(_AFTER, rows, *position)
        return [UserBody(*record) for record in records]

    async def posts_page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[PostBody]]:
        async with self.pool.acquire() as connection:
            await _check_caller(connection, claims)
            total = await connection.fetchval(_COUNT_POSTS)
            rows = await connection.fetch(_POSTS_PAGE, page.size, page.skipped)
        return total, [_post(*row) for row in rows]

    async def posts_after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[PostBody]:
        async with self.pool.acquire() as connection:
            await _check_caller(connection, claims)
            if position is None:
                records = await connection.fetch(_POSTS_START, rows)
            else:
                records = await connection.fetch(_POSTS_AFTER, rows, *position)
        return [_post(*record) for record in records]

    async def create_post(self, claims: Claims, post: PostRequest) -> PostBody:
        id_, now = uuid7(), datetime.now(UTC)
        async with self.pool.acquire() as connection:
            caller = await _check_caller(connection, claims)
            values = (id_, caller["id"], post.title, post.content, now)
            await connection.execute(_CREATE_POST, *values)
        author = AuthorBody(caller["id"], caller["name"])
        return PostBody(id_, post.title, post.content, author, None, now, now)

    async def account(self, email: str) -> tuple[UUID, str]:
        async with self.pool.acquire() as connection:
            id_, hashed_password = await connection.fetchrow(_ACCOUNT, email)
            return id_, hashed_password

    async def open_session(self, user_id: UUID) -> UUID:
        id_, now = uuid7(), datetime.now(UTC)
        ends = now + timedelta(days=SESSION_DAYS)
        async with self.pool.acquire() as connection:
            await connection.execute(_OPEN_SESSION, id_, user_id, now, ends)
        return id_


async def _check_caller(
    connection: Any, claims: Claims, user_id: UUID | None = None
) -> Any:
    caller = await connection.fetchrow(_CALLER, *claims)
    if caller is None or (caller["role"] != "admin" and caller["id"] != user_id):
        raise PermissionError
    return caller


def _post(
    id_: UUID,
    title: str,
    content: str,
    author_id: UUID,
    author_name: str,
    *instants: datetime,
) -> PostBody:
    return PostBody(id_, title, content, AuthorBody(author_id, author_name), *instants)


store = PostgresStore()


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    # The pool's reset costs a round trip per request, and no statement here changes
    # the connection's state.
    async def skip_reset(_connection: Any) -> None: ...

    async with asyncpg.create_pool(
        DATABASE_URL, min_size=_POOL_SIZE, max_size=_POOL_SIZE, reset=skip_reset
    ) as store.pool:
        yield


app = make_app(store, _lifespan)

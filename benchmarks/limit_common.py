"""Shared by the two limit apps: the token, the bodies and the routes.

A limit app does the service's work with as little code as possible: Starlette, the
driver, PyJWT and msgspec. Its responses are the same, so the difference in cost is the
price of the framework, the layers and the features. Passwords and cursors come from
`bedplate.core`, which uses no framework.
"""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs
from uuid import UUID

import jwt
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import StatelessLifespan

from bedplate.core.pagination import Cursors, Position, page_count
from bedplate.core.security import (
    AccessTokens,
    TokenKey,
    check_password,
    derive_key,
)

DATABASE_URL = os.environ["BEDPLATE_DATABASE_URL"]
SESSION_DAYS = 60
_SECRET = os.environ["BEDPLATE_SECRET_KEY"].encode()
_KEY = derive_key(_SECRET, "access tokens")
_LIFETIME = timedelta(minutes=int(os.environ["BEDPLATE_ACCESS_TOKEN_MINUTES"]))
_tokens = AccessTokens(
    [TokenKey(None, _KEY, _KEY)],
    algorithm="HS256",
    issuer="bedplate",
    lifetime=_LIFETIME,
)
_cursors = Cursors(derive_key(_SECRET, "list cursors"))
_encode = msgspec.json.Encoder().encode


class Claims(NamedTuple):
    session_id: UUID
    user_id: UUID
    now: datetime


class UserBody(msgspec.Struct):
    id: UUID
    email: str
    name: str
    role: str
    is_active: bool
    email_verified: bool
    created_at: datetime
    updated_at: datetime


class AuthorBody(msgspec.Struct):
    id: UUID
    name: str


class PostBody(msgspec.Struct):
    id: UUID
    title: str
    content: str
    author: AuthorBody
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime


class PostRequest(msgspec.Struct):
    title: str
    content: str


class PageRequest(NamedTuple):
    number: int
    size: int

    @property
    def skipped(self) -> int:
        return (self.number - 1) * self.size


class Store(Protocol):
    """The statements. Those with `claims` first read the caller's session and user."""

    async def user(self, claims: Claims, user_id: UUID) -> UserBody: ...

    async def page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[UserBody]]: ...

    async def after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[UserBody]: ...

    async def posts_page(
        self, claims: Claims, page: PageRequest
    ) -> tuple[int, list[PostBody]]: ...

    async def posts_after(
        self, claims: Claims, position: Position | None, rows: int
    ) -> list[PostBody]: ...

    async def create_post(self, claims: Claims, post: PostRequest) -> PostBody: ...

    async def account(self, email: str) -> tuple[UUID, str]: ...

    async def open_session(self, user_id: UUID) -> UUID: ...


def make_app(store: Store, lifespan: StatelessLifespan[Starlette]) -> Starlette:
    async def live(_request: Request) -> Response:
        return _json({"status": "ok"})

    async def create_token(request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        user_id, hashed_password = await store.account(form["username"][0])
        check = await check_password(form["password"][0], hashed_password)
        if not check.ok:
            raise PermissionError
        return _json(_token(user_id, await store.open_session(user_id)))

    async def get_user(request: Request) -> Response:
        user_id = UUID(request.path_params["user_id"])
        return _json(await store.user(_verify(request), user_id))

    async def list_users(request: Request) -> Response:
        return await _list(request, store.page, store.after)

    async def list_posts(request: Request) -> Response:
        return await _list(request, store.posts_page, store.posts_after)

    async def create_post(request: Request) -> Response:
        post = msgspec.json.decode(await request.body(), type=PostRequest)
        if not (1 <= len(post.title) <= 255 and post.content):
            raise ValueError
        return _json(await store.create_post(_verify(request), post), 201)

    routes = [
        Route("/health/live", live),
        Route("/api/v1/auth/token", create_token, methods=["POST"]),
        Route("/api/v1/users", list_users),
        Route("/api/v1/users/{user_id}", get_user),
        Route("/api/v1/posts", list_posts),
        Route("/api/v1/posts", create_post, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


ReadPage = Callable[[Claims, PageRequest], Awaitable[tuple[int, list[Any]]]]
ReadAfter = Callable[[Claims, Position | None, int], Awaitable[list[Any]]]


async def _list(request: Request, page: ReadPage, after: ReadAfter) -> Response:
    claims = _verify(request)
    query = request.query_params
    size = int(query.get("limit", 20))
    if "cursor" in query:
        return _json(await _cursor_page(after, claims, query["cursor"], size))
    page_request = PageRequest(int(query.get("page", 1)), size)
    return _json(await _numbered_page(page, claims, page_request))


async def _numbered_page(
    read: ReadPage, claims: Claims, page: PageRequest
) -> dict[str, Any]:
    total, rows = await read(claims, page)
    more = page.skipped + len(rows) < total
    return {
        "items": rows,
        "total": total,
        "page": page.number,
        "limit": page.size,
        "pages": page_count(total, page.size),
        "next_cursor": _next_cursor(rows) if more else None,
    }


async def _cursor_page(
    read: ReadAfter, claims: Claims, cursor: str, size: int
) -> dict[str, Any]:
    position = _cursors.read("-created_at", cursor, datetime) if cursor else None
    rows = await read(claims, position, size + 1)
    items = rows[:size]
    return {
        "items": items,
        "total": None,
        "page": None,
        "limit": size,
        "pages": None,
        "next_cursor": _next_cursor(items) if len(rows) > size else None,
    }


def _next_cursor(rows: list[Any]) -> str:
    return _cursors.write("-created_at", Position(rows[-1].created_at, rows[-1].id))


def _verify(request: Request) -> Claims:
    token = request.headers.get("authorization", "")[len("Bearer ") :]
    claims = jwt.decode(
        token, _KEY, algorithms=["HS256"], audience="bedplate-api", issuer="bedplate"
    )
    return Claims(UUID(claims["sid"]), UUID(claims["sub"]), datetime.now(UTC))


def _token(user_id: UUID, session_id: UUID) -> dict[str, Any]:
    return {
        "access_token": _tokens.issue(user_id, session_id),
        "token_type": "bearer",
        "expires_in": int(_LIFETIME.total_seconds()),
    }


def _json(body: Any, status: int = 200) -> Response:
    return Response(_encode(body), status, media_type="application/json")

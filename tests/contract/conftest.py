"""Clients of the stack under test: FastAPI, or Django REST framework beside it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import cache
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Receive, Scope, Send
from support_stacks import PREFIXES, Stack
from zeal import zeal_context
from zeal.patch import patch

from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.plugin import SignIn, _issue_token


@cache
def watch_models() -> None:
    """Let Django's ORM refuse a query that is sent once for each row."""
    patch()


@pytest.fixture
def service(with_admin: ASGIApp) -> ASGIApp:
    """Return both stacks. A query that Django sends once for each row is a 500."""
    watch_models()  # Django is set up by now

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        with zeal_context():
            await with_admin(scope, receive, send)

    return watched


@pytest.fixture(params=list(PREFIXES))
def stack(request: pytest.FixtureRequest, service: ASGIApp) -> Stack:
    return Stack(service, PREFIXES[request.param])


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client() as client:
        yield client


@pytest_asyncio.fixture
async def sign_in(app: Application, stack: Stack) -> AsyncIterator[SignIn]:
    async with AsyncExitStack() as clients:

        async def make(user_id: UUID) -> httpx.AsyncClient:
            client = stack.client(await _issue_token(app, user_id))
            return await clients.enter_async_context(client)

        yield make


@pytest_asyncio.fixture
async def as_other(other: User, sign_in: SignIn) -> httpx.AsyncClient:
    return await sign_in(other.id)


@pytest_asyncio.fixture
async def draft(app: Application, user: User) -> Post:
    """Create a draft by `user`."""
    post = Post(author_id=user.id, title="Draft", content="Not yet")
    async with app.state.runtime.database.unit_of_work() as session:
        session.add(post)
    return post

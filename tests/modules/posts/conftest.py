"""An author with a published post and a draft, and everyone who might look at them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient
from support import Clients

from bedplate.modules.users.models import User
from bedplate.testing.plugin import MakeUser, SignIn

WritePost = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {
        "roles": "user,admin,reader,writer",
        "role_permissions": {
            "reader": ["posts:read_any"],
            "writer": ["posts:write_any"],
        },
    }


@pytest_asyncio.fixture
async def clients(
    client: AsyncClient,
    as_user: AsyncClient,
    as_admin: AsyncClient,
    other: User,
    make_user: MakeUser,
    sign_in: SignIn,
) -> Clients:
    """Everyone who may call, by what they are; the posts are by `author`."""
    granted = {role: await make_user(role=role) for role in ("reader", "writer")}
    return {
        "stranger": client,
        "author": as_user,
        "other": await sign_in(other.id),
        "admin": as_admin,
        **{role: await sign_in(user.id) for role, user in granted.items()},
    }


@pytest.fixture
def write_post(as_user: AsyncClient) -> WritePost:
    """Write a post over HTTP, as `author` unless another client is given."""

    async def write(client: AsyncClient = as_user, **fields: Any) -> dict[str, Any]:
        body = {"title": "A title", "content": "Some words", **fields}
        answer = await client.post("/posts", json=body)
        assert answer.status_code == 201, answer.text
        written: dict[str, Any] = answer.json()
        return written

    return write


@pytest_asyncio.fixture
async def published(write_post: WritePost) -> dict[str, Any]:
    return await write_post(title="Published", publish=True)


@pytest_asyncio.fixture
async def draft(write_post: WritePost) -> dict[str, Any]:
    return await write_post(title="Draft")

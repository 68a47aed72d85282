"""No list runs a statement per row, and a planted one that does is seen."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import pytest
from fastapi import Query
from httpx import AsyncClient
from sqlalchemy import select

from bedplate.api.dependencies import SessionDep
from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.example.posts.models import Post
from bedplate.jobs import enqueue
from bedplate.main import Application
from bedplate.module import Module
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.jobs.tasks import purge_jobs
from bedplate.modules.users.models import User
from bedplate.modules.users.repository import UserRepository
from bedplate.modules.users.schemas import (
    UserListParams,
    UserListResponse,
    UserResponse,
)
from bedplate.schemas import Page
from bedplate.testing.guards import list_operations, recorded_statements
from bedplate.testing.plugin import MakeUser, SignIn, client_for, running

AddRow = Callable[[], Awaitable[object]]


@pytest.fixture
def rows(
    app: Application, admin: User, make_user: MakeUser, sign_in: SignIn
) -> dict[str, AddRow]:
    """Return a function for each list that adds a row. A new list needs a line here."""

    async def add_session() -> None:
        await sign_in(admin.id)

    async def add_event() -> None:
        async with app.state.runtime.database.unit_of_work() as session:
            session.add(AuditEvent(action="user.created", actor_id=admin.id))

    async def add_job() -> None:
        async with app.state.runtime.database.unit_of_work() as session:
            await enqueue(session, purge_jobs)

    async def add_post() -> None:
        author = await make_user()
        async with app.state.runtime.database.unit_of_work() as session:
            session.add(Post(author_id=author.id, title="T", content="C"))

    return {
        "GET /api/v1/users": make_user,
        "GET /api/v1/jobs": add_job,
        "GET /api/v1/users/{user_id}/sessions": add_session,
        "GET /api/v1/auth/sessions": add_session,
        "GET /api/v1/audit": add_event,
        "GET /api/v1/posts": add_post,
    }


async def statements_for(client: AsyncClient, app: Application, path: str) -> list[str]:
    with recorded_statements(app.state.runtime.database) as statements:
        response = await client.get(f"http://test{path}")
    assert response.status_code == 200, response.text
    return statements


async def test_no_list_runs_a_statement_per_row(
    app: Application, as_admin: AsyncClient, admin: User, rows: dict[str, AddRow]
) -> None:
    assert rows.keys() == list_operations(app.openapi())
    for name, add_row in rows.items():
        path = name.removeprefix("GET ").format(user_id=admin.id)
        await add_row()
        before = await statements_for(as_admin, app, path)
        for _ in range(8):
            await add_row()
        after = await statements_for(as_admin, app, path)

        assert after == before, name
        # The caller, the page with its total, and the owner of the list.
        assert 0 < len(before) <= 3, name


async def test_reading_your_own_account_is_one_statement(
    app: Application, as_user: AsyncClient
) -> None:
    assert len(await statements_for(as_user, app, "/api/v1/users/me")) == 1


planted = Router(prefix="/planted")


@planted.get("/reads", response_model=UserListResponse)
async def list_with_a_read_for_each(
    session: SessionDep, params: Annotated[UserListParams, Query()]
) -> Page[UserResponse]:
    users = UserRepository(session)
    page = await users.list_page(params)
    for user in page.items:
        await users.find(user.id)
    return page


@planted.get("/entities", response_model=UserListResponse)
async def list_with_an_entity_for_each(
    session: SessionDep, params: Annotated[UserListParams, Query()]
) -> Page[UserResponse]:
    page = await UserRepository(session).list_page(params)
    for user in page.items:
        await session.scalars(select(User).where(User.id == user.id))
    return page


@pytest.mark.parametrize("path", ["reads", "entities"])
async def test_a_planted_query_for_each_row_is_seen(
    settings: Settings, make_user: MakeUser, path: str
) -> None:
    modules = (*BUILT_IN, Module(name="planted", router=planted))
    url = f"/api/v1/planted/{path}"
    async with (
        running(settings, modules=modules) as planted_app,
        client_for(planted_app) as c,
    ):
        await make_user()
        before = await statements_for(c, planted_app, url)
        await make_user()
        after = await statements_for(c, planted_app, url)

    assert len(after) == len(before) + 1

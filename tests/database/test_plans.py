"""PostgreSQL's plans for the statements of lists: they must use the indexes."""

import re
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from bedplate.database import ListQuery
from bedplate.example.posts.repository import LIST_POSTS
from bedplate.example.posts.schemas import PostListParams
from bedplate.main import Application
from bedplate.modules.users.repository import LIST_USERS
from bedplate.modules.users.schemas import UserListParams
from bedplate.schemas import ListParams

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def plan(
    app: Application,
    query: ListQuery[Any],
    params: ListParams,
    scope: str | None = None,
    **values: Any,
) -> str:
    """Return the plan. Sorts and full scans are off wherever there is an index."""
    database = app.state.runtime.database
    statement, list_values = query.prepare(params, database.cursors, scope)
    compiled = statement.compiled_for(database.dialect)
    connection = await asyncpg.connect(
        database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    try:
        for switch in ("enable_seqscan", "enable_sort", "enable_incremental_sort"):
            await connection.execute(f"SET {switch} = off")
        arguments = compiled.arguments({**values, **list_values})
        rows = await connection.fetch(f"EXPLAIN {compiled.sql}", *arguments)
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("query", "params", "scope", "index"),
    [
        (LIST_POSTS, PostListParams, "all", "ix_posts_title_content_trgm"),
        (LIST_USERS, UserListParams, None, "ix_users_email_name_trgm"),
    ],
)
async def test_a_search_uses_the_trigram_index(
    app: Application, query: Any, params: type[ListParams], scope: str, index: str
) -> None:
    search = params.model_validate({"q": "needle"})
    lines = await plan(app, query, search, scope, caller_id=uuid4())

    assert index in lines


@ON_POSTGRESQL
@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("column", ["created_at", "published_at", "title"])
async def test_a_cursor_continues_by_an_index(
    app: Application, column: str, direction: str
) -> None:
    cursors = app.state.runtime.database.cursors
    first = PostListParams.model_validate({"sort": direction + column, "cursor": ""})
    value = "t" if column == "title" else "2026-01-01T00:00:00Z"
    cursor = cursors.write(first.sort, (value, uuid4()))
    params = first.model_copy(update={"cursor": cursor})

    lines = await plan(app, LIST_POSTS, params, "published")

    assert f"ix_posts_{column}_id" in lines
    assert re.search(r"Index Cond: .*ROW\(", lines), lines
    assert "Sort" not in lines

"""Deleting a row that others refer to is a 409 that names them, on both databases."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table

from bedplate.core.errors import Conflict
from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.browser import Browser

INVOICES = """
CREATE TABLE planted_invoices (
    id INTEGER PRIMARY KEY,
    owner_id {uuid} NOT NULL,
    CONSTRAINT fk_planted_invoices_owner_id
        FOREIGN KEY (owner_id) REFERENCES users (id) ON DELETE {action}
)"""
COMMENTS = """
CREATE TABLE planted_comments (
    id INTEGER PRIMARY KEY,
    post_id {uuid} NOT NULL REFERENCES posts (id) ON DELETE {action}
)"""


async def execute(app: Application, statement: str, **values: Any) -> None:
    database = app.state.runtime.database
    uuid = "CHAR(32)" if database.is_sqlite else "UUID"
    statement = statement.format(uuid=uuid, **values)
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(statement)


@pytest.fixture(params=["RESTRICT", "NO ACTION"])
def action(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def with_invoice(app: Application, user: User, action: str) -> None:
    await execute(app, INVOICES, action=action)
    await execute(
        app, "INSERT INTO planted_invoices SELECT 1, id FROM users WHERE role = 'user'"
    )


def assert_names(response: httpx.Response, table: str) -> None:
    assert response.status_code == 409, response.text
    error = response.json()["error"]
    assert error["code"] == "CONFLICT"
    assert table in error["message"]


async def test_an_account_that_a_table_refers_to_stays_and_the_error_names_it(
    app: Application, as_user: AsyncClient, with_invoice: None
) -> None:
    assert_names(await as_user.delete("/users/me"), "planted_invoices")

    assert (await as_user.get("/users/me")).status_code == 200
    assert len(await read_table(app, User)) == 1


async def test_the_error_names_the_table_under_rest_framework(
    with_admin: ASGIApp, as_admin: AsyncClient, user: User, with_invoice: None
) -> None:
    transport = httpx.ASGITransport(with_admin)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://test/django/api/v1",
        headers={"Authorization": as_admin.headers["Authorization"]},
    ) as django:
        assert_names(await django.delete(f"/users/{user.id}"), "planted_invoices")


async def test_the_error_names_the_table_in_the_admin(
    app: Application, admin_browser: Browser, user: User, with_invoice: None
) -> None:
    await admin_browser.open(f"/admin/bedplate/user/{user.id}/delete/")
    await admin_browser.submit()

    assert "planted_invoices" in admin_browser.page.text
    assert user.id in {row.id for row in await read_table(app, User)}


async def test_a_row_that_cascades_may_be_referred_to_as_well(
    app: Application, as_user: AsyncClient, action: str
) -> None:
    post = await as_user.post("/posts", json={"title": "T", "content": "C"})
    assert post.status_code == 201
    await execute(app, COMMENTS, action=action)
    await execute(app, "INSERT INTO planted_comments SELECT 1, id FROM posts")

    assert_names(await as_user.delete("/users/me"), "planted_comments")
    assert_names(
        await as_user.delete(f"/posts/{post.json()['id']}"), "planted_comments"
    )
    assert len(await read_table(app, Post)) == 1


@pytest.fixture
def declared() -> Iterator[None]:
    class HasInvoices(Conflict, constraint="fk_planted_invoices_owner_id"):
        code = "HAS_INVOICES"
        message = "The account has invoices."

    yield
    del Conflict.by_constraint["fk_planted_invoices_owner_id"]


async def test_a_module_may_declare_its_own_error(
    as_user: AsyncClient, declared: None, with_invoice: None
) -> None:
    error = (await as_user.delete("/users/me")).json()["error"]

    assert (error["code"], error["message"]) == (
        "HAS_INVOICES",
        "The account has invoices.",
    )


@pytest.mark.parametrize("action", ["CASCADE"], indirect=True)
async def test_rows_that_cascade_are_deleted_too(
    app: Application, as_user: AsyncClient, with_invoice: None
) -> None:
    assert (await as_user.delete("/users/me")).status_code == 204

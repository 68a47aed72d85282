"""Both frameworks write the same row at the same time, and no write is lost."""

import asyncio

import httpx
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table

from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.browser import Browser
from bedplate.testing.plugin import PASSWORD

EACH = 5


def next_of(name: str) -> str:
    return str(int(name) + 1)


async def write_by_the_api(api: AsyncClient, user: User) -> None:
    left = EACH
    while left:
        read = await api.get(f"/users/{user.id}")
        response = await api.patch(
            f"/users/{user.id}",
            json={"name": next_of(read.json()["name"])},
            headers={"If-Match": read.headers["etag"]},
        )
        assert response.status_code in {200, 412}, response.text
        left -= response.status_code == 200


async def write_by_a_form(both: ASGIApp, admin: User, user: User) -> None:
    transport = httpx.ASGITransport(both)
    left = EACH
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        browser = Browser(client)
        await browser.sign_in(admin.email, PASSWORD)
        while left:
            await browser.open(f"/admin/bedplate/user/{user.id}/change/")
            current_name = browser.form().fields["name"]
            response = await browser.submit(name=next_of(current_name), _continue="1")
            assert (
                response.is_redirect
                or "changed while you had the form open" in response.text
            )
            left -= response.is_redirect


async def test_forms_and_calls_lose_nothing_to_each_other(
    app: Application,
    with_admin: ASGIApp,
    as_admin: AsyncClient,
    admin: User,
    user: User,
) -> None:
    await as_admin.patch(f"/users/{user.id}", json={"name": "0"})

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(write_by_the_api(as_admin, user))
            tasks.create_task(write_by_a_form(with_admin, admin, user))

    written = next(row for row in await read_table(app, User) if row.id == user.id)
    assert written.name == str(6 * EACH)

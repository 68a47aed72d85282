import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from httpx import AsyncClient, Response
from support import Snapshot, execute, read_table

from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import MakeUser, SignIn, client_for, running

ROUNDS = 12

# Every way to lose an admin: method, path, body. `{admin}` is the one who would go.
DEMOTE = ("PATCH", "/users/{admin}", {"role": "user"})
DEACTIVATE = ("POST", "/users/{admin}/deactivate", None)
DELETE = ("DELETE", "/users/{admin}", None)
LEAVE = ("DELETE", "/users/me", None)
WAYS = [DEMOTE, DEACTIVATE, DELETE, LEAVE]

Way = tuple[str, str, Any]


async def go(client: AsyncClient, way: Way, admin: UUID) -> Response:
    method, path, body = way
    return await client.request(method, path.format(admin=admin), json=body)


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_active_admin_stays(
    way: Way,
    admin: User,
    as_admin: AsyncClient,
    make_user: MakeUser,
    snapshot: Snapshot,
) -> None:
    await make_user(role="admin", is_active=False)
    before = await snapshot()

    assert_refused(await go(as_admin, way, admin.id), 409, "LAST_ADMIN")
    assert await snapshot() == before


@pytest.mark.parametrize("way", WAYS)
async def test_an_admin_goes_while_another_stays(
    way: Way,
    admin: User,
    as_admin: AsyncClient,
    make_user: MakeUser,
    app: Application,
) -> None:
    second = await make_user(role="admin")
    answer = await go(as_admin, way, admin.id)

    assert answer.status_code in (200, 204)
    assert await active_admins(app) == [second.id]


@pytest.mark.parametrize("way", [DEMOTE, DELETE])
async def test_an_inactive_admin_is_not_the_last(
    way: Way, as_admin: AsyncClient, make_user: MakeUser
) -> None:
    inactive = await make_user(role="admin", is_active=False)

    assert (await go(as_admin, way, inactive.id)).status_code in (200, 204)


async def test_the_last_admin_may_change_all_else(
    admin: User, as_admin: AsyncClient
) -> None:
    changes = {"name": "Boss", "email": admin.email, "role": "admin"}
    answer = await as_admin.patch(f"/users/{admin.id}", json=changes)

    assert (answer.status_code, answer.json()["name"]) == (200, "Boss")


async def active_admins(app: Application) -> list[UUID]:
    users = await read_table(app, User)
    return [user.id for user in users if user.role == "admin" and user.is_active]


@pytest_asyncio.fixture
async def second_app(
    app: Application, settings: Settings
) -> AsyncIterator[Application]:
    """Another process's application, as far as the database can tell."""
    async with running(settings, modules=BUILT_IN) as second:
        yield second


@pytest.mark.parametrize(
    ("first_way", "second_way"),
    [
        (DEMOTE, DEMOTE),
        (DEACTIVATE, DEACTIVATE),
        (DELETE, DELETE),
        (LEAVE, LEAVE),
        (DEMOTE, LEAVE),
        (DEACTIVATE, DELETE),
    ],
)
async def test_two_admins_removing_each_other_at_once_leave_one(
    first_way: Way,
    second_way: Way,
    app: Application,
    second_app: Application,
    make_user: MakeUser,
    sign_in: SignIn,
) -> None:
    for _ in range(ROUNDS):
        one, two = await make_user(role="admin"), await make_user(role="admin")
        as_one, as_two = await sign_in(one.id), await sign_in(two.id)
        elsewhere = client_for(second_app)
        elsewhere.headers = as_two.headers
        answers = await asyncio.gather(
            go(as_one, first_way, one.id if first_way is LEAVE else two.id),
            go(elsewhere, second_way, two.id if second_way is LEAVE else one.id),
        )

        assert len(await active_admins(app)) == 1
        assert_orderly(answers)
        await execute(app, sa.delete(User))


def assert_orderly(answers: Sequence[Response]) -> None:
    """Assert that one request succeeds and that the other does too or is refused.

    The second may leave as the user that the first made of it, or may be refused as the
    last admin or as no longer an admin.
    """
    first, second = sorted(answers, key=lambda answer: answer.status_code)
    assert first.is_success
    if not second.is_success:
        code = second.json()["error"]["code"]
        assert (second.status_code, code) in LOSSES


LOSSES = [
    (409, "LAST_ADMIN"),
    (401, "UNAUTHENTICATED"),
    (403, "FORBIDDEN"),
    (404, "NOT_FOUND"),
]


async def test_ten_admins_leaving_at_once_leave_one(
    app: Application, make_user: MakeUser, sign_in: SignIn
) -> None:
    admins = [await make_user(role="admin") for _ in range(10)]
    clients = [await sign_in(admin.id) for admin in admins]
    answers = await asyncio.gather(*(c.delete("/users/me") for c in clients))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [204] * 9 + [409]
    assert len(await active_admins(app)) == 1


async def test_sign_ups_with_one_address_at_once_make_one_account(
    app: Application, second_app: Application, client: AsyncClient
) -> None:
    async with client_for(second_app) as elsewhere:
        for number in range(6):
            spellings = (f"Race{number}@example.com", f" race{number}@EXAMPLE.com")
            answers = await asyncio.gather(
                *(sign_up(c, e) for c in (client, elsewhere) for e in spellings)
            )

            assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
            for lost in (a for a in answers if a.status_code == 409):
                assert_refused(lost, 409, "EMAIL_TAKEN")
            assert len(await read_table(app, User)) == number + 1


async def sign_up(client: AsyncClient, email: str) -> Response:
    body = {"email": email, "name": "Racer", "password": "Correct-h0rse"}
    return await client.post("/users", json=body)


async def test_moves_to_one_address_at_once_let_one_have_it(
    app: Application,
    second_app: Application,
    as_admin: AsyncClient,
    make_user: MakeUser,
) -> None:
    async with client_for(second_app) as elsewhere:
        elsewhere.headers = as_admin.headers
        for number in range(ROUNDS):
            one, two = await make_user(), await make_user()
            wanted = {"email": f"wanted{number}@example.com"}
            answers = await asyncio.gather(
                as_admin.patch(f"/users/{one.id}", json=wanted),
                elsewhere.patch(f"/users/{two.id}", json=wanted),
            )

            assert sorted(a.status_code for a in answers) == [200, 409]

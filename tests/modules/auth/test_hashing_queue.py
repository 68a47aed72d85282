"""Signing in when very many do: bounded, fair, and honest about it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

import httpx
import pytest
from httpx import AsyncClient
from support_auth import try_sign_in

from bedplate.core import security
from bedplate.core.errors import ServiceUnavailable
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.browser import Browser
from bedplate.testing.plugin import PASSWORD, client_for


@contextmanager
def busy_hashers() -> Iterator[None]:
    """In the block every thread that hashes passwords has a long one to hash."""
    done = threading.Event()
    for number in range(security.hashing._idle):
        security.hashing._submit(f"busy {number}", partial(done.wait, 60))
    try:
        yield
    finally:
        done.set()


async def waiting(count: int) -> None:
    """Until so many passwords wait."""
    async with asyncio.timeout(30):
        while security.hashing.waiting != count:  # noqa: ASYNC110, of threads
            await asyncio.sleep(0.01)


async def test_a_crowd_of_one_account_is_bounded_and_holds_nobody_else_up(
    app: Application, client: AsyncClient, user: User, other: User
) -> None:
    served: list[str] = []

    async def enter(email: str) -> int:
        answer = await try_sign_in(client, email, PASSWORD)
        served.append(email)
        if answer.status_code == 503:
            assert_refused(answer, 503, "SERVICE_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code

    with busy_hashers():
        crowd = [asyncio.create_task(enter(user.email)) for _ in range(100)]
        await waiting(64)
        late = asyncio.create_task(enter(other.email))
        await waiting(65)
    statuses = Counter(await asyncio.gather(*crowd))

    assert await late == 200
    assert statuses[503] >= 36
    assert statuses[200] >= 1
    assert statuses.keys() <= {200, 503}
    refused = statuses[503]
    assert served.index(other.email) < refused + 20  # and not the last of all


async def test_twenty_right_passwords_of_one_account_at_once_are_let_in(
    client: AsyncClient, user: User
) -> None:
    answers = await asyncio.gather(
        *(try_sign_in(client, user.email, PASSWORD) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}


async def test_whoever_hangs_up_leaves_the_queue(app: Application, user: User) -> None:
    with busy_hashers():
        async with client_for(app) as client:
            asking = asyncio.create_task(try_sign_in(client, user.email, PASSWORD))
            await waiting(1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await waiting(0)


async def test_the_admin_site_and_django_wait_in_the_same_queue(
    browser: Browser, admin: User, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bedplate.django_site.bridge import model_of  # Django is set up by now

    stored = {"email": user.email, "password": user.hashed_password}
    account = model_of(User)(**stored)
    await browser.open("/admin/login/")
    monkeypatch.setattr(security.hashing, "_max_waiting", 0)

    page = await browser.submit(username=admin.email, password=PASSWORD)
    with pytest.raises(ServiceUnavailable):
        await asyncio.to_thread(account.check_password, PASSWORD)
    with pytest.raises(ServiceUnavailable):
        await asyncio.to_thread(account.set_password, PASSWORD)

    assert page.status_code == 503
    assert int(page.headers["retry-after"]) >= 1
    monkeypatch.undo()
    assert account.password == user.hashed_password
    assert await account.acheck_password(PASSWORD)
    assert await asyncio.to_thread(account.check_password, PASSWORD)


async def test_sign_ups_of_one_address_wait_in_turn(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security.hashing, "_max_per_key", 1)
    with busy_hashers():
        async with client_for(app) as client:
            signing_up = [asyncio.create_task(sign_up(client, n)) for n in range(3)]
            # One waits for a thread; the others are refused while it does.
            for refused in islice(asyncio.as_completed(signing_up, timeout=30), 2):
                assert_refused(await refused, 503, "SERVICE_UNAVAILABLE")
    statuses = [(await task).status_code for task in signing_up]

    assert sorted(statuses) == [201, 503, 503]


async def sign_up(client: AsyncClient, number: int) -> httpx.Response:
    body = {"email": f"{number}@example.com", "name": "N", "password": PASSWORD}
    return await client.post("/users", json=body)

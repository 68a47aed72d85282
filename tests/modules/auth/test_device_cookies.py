"""A limit slows down guessing, and keeps neither known clients out nor a reset."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response
from support import read_table
from support_auth import NEW_PASSWORD, sign_in, try_sign_in

from bedplate.core.device_cookies import GROUPS, DeviceCookies
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.auth.sign_in import SignInService
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.browser import Browser
from bedplate.testing.clock import FrozenClock
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD, SignIn, client_for

LIMITED = (429, "RATE_LIMITED")
PROXY = "127.0.0.1"
COOKIE = "bedplate_device"
SUBJECT = "Many wrong passwords"


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {
        "limit_failed_sign_ins_per_address": "1000 per minute",
        "trusted_proxies": PROXY,
    }


async def lock_out(app: Application, email: str, guesses: int = 6) -> Response:
    """Guess from elsewhere until strangers are refused; return the last answer."""
    async with client_for(app, address=PROXY) as attacker:
        for number in range(guesses):
            header = {"X-Forwarded-For": f"203.0.113.{number}"}
            answer = await try_sign_in(attacker, email, f"wrong {number}", **header)
    return answer


async def test_a_sign_in_and_a_reset_answer_with_a_device_cookie(
    client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    signed_in = await try_sign_in(client, user.email, PASSWORD)
    refused = await try_sign_in(client, user.email, "wrong")
    reset = await reset_password(client, mailbox, user.email)

    for answer in (signed_in, reset):
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith(f"{COOKIE}={user.id.hex}.")
        assert "; HttpOnly; Max-Age=31536000; Path=/; SameSite=Lax" in cookie
        assert "Secure" not in cookie  # there is no TLS in this test
    assert "set-cookie" not in refused.headers


def test_over_tls_the_cookie_is_secure_and_bound_to_its_host() -> None:
    cookies = DeviceCookies([b"k" * 32], secure=True)

    assert cookies.name == f"__Host-{COOKIE}"
    assert cookies.attributes["secure"]


async def test_a_known_client_signs_in_while_an_attacker_goes_on(
    app: Application, client: AsyncClient, user: User
) -> None:
    await sign_in(client, user.email)
    assert_refused(await lock_out(app, user.email), *LIMITED)

    async with client_for(app) as stranger:
        refused = await try_sign_in(stranger, user.email, PASSWORD)
    response = await try_sign_in(client, user.email, PASSWORD)

    assert_refused(refused, *LIMITED)
    assert response.status_code == 200


async def test_a_known_client_has_a_limit_of_its_own(
    app: Application, client: AsyncClient, user: User
) -> None:
    await sign_in(client, user.email)
    answers = await asyncio.gather(
        *(try_sign_in(client, user.email, f"wrong {n}") for n in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15
    assert_refused(await try_sign_in(client, user.email, PASSWORD), *LIMITED)
    async with client_for(app) as stranger:
        await sign_in(stranger, user.email)


async def test_cookies_of_one_account_give_no_more_guesses_than_their_groups(
    app: Application, user: User
) -> None:
    """An attacker may collect cookies while they know the password."""
    cookies: DeviceCookies = app.state.runtime.device_cookies
    devices = [cookies.read({COOKIE: cookies.issue(user.id)}) for _ in range(200)]

    groups = {device.group for device in devices if device is not None}
    assert groups == set(range(GROUPS))
    device = devices[0]
    again = cookies.read({COOKIE: cookies.issue(user.id, device)})
    assert again == device


@pytest.mark.parametrize("forge", ["another account", "signature", "group", "garbage"])
async def test_a_cookie_that_we_did_not_issue_for_the_account_changes_nothing(
    app: Application, client: AsyncClient, user: User, other: User, forge: str
) -> None:
    await sign_in(client, user.email)
    genuine = client.cookies[COOKIE]
    owner, group, expiry, signature = genuine.split(".")
    cookie = {
        "another account": app.state.runtime.device_cookies.issue(other.id),
        "signature": f"{owner}.{group}.{expiry}.{signature[::-1]}",
        "group": f"{owner}.99.{expiry}.{signature}",
        "garbage": "." * 5000,
    }[forge]
    await lock_out(app, user.email)

    client.cookies.clear()
    forged = {"Cookie": f"{COOKIE}={cookie}"}
    answer = await try_sign_in(client, user.email, PASSWORD, **forged)

    assert_refused(answer, *LIMITED)


def test_a_cookie_ends_after_a_year_and_outlives_a_change_of_key(
    frozen_clock: FrozenClock,
) -> None:
    old, new, someone = b"o" * 32, b"n" * 32, uuid4()
    value = DeviceCookies([old], secure=False).issue(someone)
    cookies = {COOKIE: value}

    rotated = DeviceCookies([new, old], secure=False).read(cookies)
    assert rotated is not None
    assert rotated.user_id == someone
    assert DeviceCookies([new], secure=False).read(cookies) is None
    frozen_clock.advance(timedelta(days=366))
    assert DeviceCookies([old], secure=False).read(cookies) is None


async def reset_password(
    client: AsyncClient, mailbox: Mailbox, email: str, **headers: str
) -> Response:
    body = {"email": email}
    requested = await client.post("/auth/password/forgot", json=body, headers=headers)
    assert requested.status_code == 202
    token = await mailbox.token(email, "new password")
    body = {"token": token, "new_password": NEW_PASSWORD}
    answer = await client.post("/auth/password/reset", json=body, headers=headers)
    assert answer.status_code == 204, answer.text
    return answer


async def test_after_a_reset_its_client_signs_in_without_cookies_too(
    app: Application, user: User, mailbox: Mailbox
) -> None:
    await lock_out(app, user.email)
    async with client_for(app, address=PROXY) as owner:
        await reset_password(owner, mailbox, user.email)
        owner.cookies.clear()
        assert_refused(await lock_out(app, user.email, 10), *LIMITED)

        answer = await try_sign_in(owner, user.email, NEW_PASSWORD)
        elsewhere = {"X-Forwarded-For": "203.0.113.99"}
        owner.cookies.clear()
        refused = await try_sign_in(owner, user.email, NEW_PASSWORD, **elsewhere)

    assert answer.status_code == 200
    assert_refused(refused, *LIMITED)


async def test_the_tries_after_a_reset_are_bounded(
    app: Application, client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    await reset_password(client, mailbox, user.email)
    client.cookies.clear()

    statuses = [
        (await try_sign_in(client, user.email, f"wrong {n}")).status_code
        for n in range(21)
    ]

    assert statuses == [401] * 20 + [429]
    assert_refused(await try_sign_in(client, user.email, NEW_PASSWORD), *LIMITED)


async def test_a_live_session_changes_its_password_while_sign_in_is_limited(
    app: Application, as_user: AsyncClient, user: User
) -> None:
    await lock_out(app, user.email)
    body = {"current_password": PASSWORD, "new_email": "new@example.com"}
    moved = await as_user.post("/auth/email/change", json=body)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = await as_user.post("/auth/password/change", json=body)

    assert (moved.status_code, changed.status_code) == (202, 204)


async def test_wrong_current_passwords_are_counted_by_session(
    client: AsyncClient, user: User, as_user: AsyncClient, sign_in: SignIn
) -> None:
    body = {"current_password": "wrong", "new_password": NEW_PASSWORD}
    path = "/auth/password/change"
    answers = await asyncio.gather(*(as_user.post(path, json=body) for _ in range(12)))
    right = {**body, "current_password": PASSWORD}

    assert sorted(a.status_code for a in answers) == [403] * 5 + [429] * 7
    assert_refused(await as_user.post(path, json=right), *LIMITED)
    assert (await try_sign_in(client, user.email, PASSWORD)).status_code == 200
    elsewhere = await sign_in(user.id)
    assert (await elsewhere.post(path, json=right)).status_code == 204


async def test_the_owner_gets_one_notice_a_day_and_nobody_else_any(
    app: Application, user: User, mailbox: Mailbox
) -> None:
    await lock_out(app, user.email, 4)
    await mailbox.settle()
    assert mailbox.to(user.email, SUBJECT) == []
    for email in (user.email, "nobody@example.com", "no address"):
        await lock_out(app, email, 12)
        await lock_out(app, email, 12)

    await mailbox.settle()

    assert len(mailbox.to(user.email, SUBJECT)) == 1
    assert [mail["To"] for mail in mailbox] == [user.email]


@pytest.mark.parametrize("by", ["the admin site", "the service"])
async def test_an_admin_unlocks_an_account(
    app: Application, client: AsyncClient, admin_browser: Browser, user: User, by: str
) -> None:
    await sign_in(client, user.email)
    for number in range(6):
        await try_sign_in(client, user.email, f"wrong {number}")
    await lock_out(app, user.email)

    page = f"/admin/bedplate/user/{user.id}"
    if by == "the admin site":
        await admin_browser.open(f"{page}/change/")
        await admin_browser.submit(f"{page}/act/unlock-sign-in/")
    else:
        async with app.state.runtime.database.unit_of_work() as session:
            await SignInService(session, app.state.runtime).unlock_by_email(user.email)

    assert (await try_sign_in(client, user.email, PASSWORD)).status_code == 200
    async with client_for(app) as stranger:
        await sign_in(stranger, user.email)
    events = [e for e in await read_table(app, AuditEvent) if "unlocked" in e.action]
    assert [event.subject_id for event in events] == [user.id]


async def test_refused_right_passwords_are_counted_and_recorded(
    app: Application, client: AsyncClient, make_user: Any
) -> None:
    """Of somebody inactive: the refusal undid both."""
    gone = await make_user(is_active=False)
    statuses = [
        (await try_sign_in(client, gone.email, PASSWORD)).status_code for _ in range(6)
    ]

    assert statuses == [403] * 5 + [429]
    refused = [e for e in await read_table(app, AuditEvent) if "refused" in e.action]
    assert [event.subject_id for event in refused] == [gone.id] * 5


class TestBehindOneAddress:
    @pytest.fixture
    def setting_overrides(self) -> dict[str, Any]:
        limit = "3 per minute"
        return {"limit_failed_sign_ins_per_address": limit}

    async def test_an_attacker_there_does_not_hold_up_a_known_client(
        self, app: Application, user: User
    ) -> None:
        shared = "203.0.113.9"
        async with (
            client_for(app, address=shared) as client,
            client_for(app, address=shared) as attacker,
        ):
            await sign_in(client, user.email)
            for number in range(4):
                await try_sign_in(attacker, f"{number}@example.com", "wrong")
            refused = await try_sign_in(attacker, user.email, PASSWORD)
            await sign_in(client, user.email)

        assert_refused(refused, *LIMITED)

"""Signing in to the admin site, and the end of its sessions."""

import re
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table

from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.browser import Browser
from bedplate.testing.clock import FrozenClock
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD, MakeUser, transport_for

WRONG = "Email or password is wrong"


async def may_enter(browser: Browser) -> bool:
    page = await browser.client.get("/admin/")
    assert page.status_code in {200, 302}
    return page.status_code == 200


async def last_action(app: Application) -> tuple[str, Any, Any]:
    event = (await read_table(app, AuditEvent))[-1]
    return event.action, event.subject_id, event.ip


async def test_an_admin_signs_in_by_email_and_password(
    app: Application, with_admin: ASGIApp, admin: User
) -> None:
    transport = transport_for(with_admin, "203.0.113.9")
    browser = Browser(AsyncClient(transport=transport, base_url="http://test"))
    response = await browser.sign_in(admin.email.upper(), PASSWORD)

    assert response.headers["location"] == "/admin/"
    assert browser.page.status_code == 200
    assert "Overview" in browser.page.text
    assert await last_action(app) == ("auth.signed_in", admin.id, "203.0.113.9")
    opened = (await read_table(app, UserSession))[-1]
    assert (opened.user_id, opened.ip) == (admin.id, "203.0.113.9")


async def test_a_wrong_password_and_an_unknown_address_get_the_same_error(
    app: Application, browser: Browser, admin: User
) -> None:
    pages = [
        (await browser.sign_in(email, password)).text
        for email, password in (
            (admin.email, "Wrong-passw0rd"),
            ("nobody@example.com", PASSWORD),
        )
    ]

    assert all(WRONG in page for page in pages)
    assert (await last_action(app))[0] == "auth.sign_in_failed"
    assert not await read_table(app, UserSession)


async def test_somebody_who_is_no_admin_gets_no_session(
    app: Application, browser: Browser, user: User
) -> None:
    """The form doesn't confirm a right password, and it leaves a trace."""
    right = await browser.sign_in(user.email, PASSWORD)
    wrong = await browser.sign_in(user.email, "Wrong-passw0rd")

    assert WRONG in right.text
    assert without_token(right.text) == without_token(wrong.text)
    assert "bedplate_device" not in str(right.headers)
    assert not await read_table(app, UserSession)
    assert not await may_enter(browser)
    actions = [(e.action, e.subject_id) for e in await read_table(app, AuditEvent)]
    assert ("auth.sign_in_refused", user.id) in actions


def without_token(page: str) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


async def test_right_passwords_of_no_admin_are_counted_as_failures(
    browser: Browser, client: AsyncClient, user: User
) -> None:
    for _ in range(5):
        await browser.sign_in(user.email, PASSWORD)
    form = {"username": user.email, "password": PASSWORD}

    refused = await browser.sign_in(user.email, PASSWORD)
    by_the_api = await client.post("/auth/token", data=form)

    assert "Too many attempts" in refused.text
    assert by_the_api.status_code == 429


async def test_the_owner_hears_of_a_right_password_that_was_refused(
    browser: Browser, client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    form = {"username": user.email, "password": PASSWORD}
    agent = {"User-Agent": "the owner's"}
    await client.post("/auth/token", data=form, headers=agent)
    for _ in range(2):
        await browser.sign_in(user.email, PASSWORD)

    await mailbox.settle()

    assert len(mailbox.to(user.email, "new sign-in")) == 1


async def test_the_sign_in_of_an_admin_sets_a_device_cookie_for_both_stacks(
    browser: Browser, admin: User
) -> None:
    response = await browser.sign_in(admin.email, PASSWORD)

    cookies = response.headers.get_list("set-cookie")
    (device,) = [c for c in cookies if c.startswith("bedplate_device=")]
    assert device.startswith(f"bedplate_device={admin.id.hex}.")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {*device.split("; ")}


async def test_an_admin_s_browser_is_let_in_while_strangers_are_kept_out(
    browser: Browser, client: AsyncClient, admin: User
) -> None:
    await browser.sign_in(admin.email, PASSWORD)
    await browser.submit("/admin/logout/")
    form = {"username": admin.email, "password": "Wrong-passw0rd"}
    for _ in range(6):
        refused = await client.post("/auth/token", data=form)

    response = await browser.sign_in(admin.email, PASSWORD)

    assert refused.status_code == 429
    assert response.headers["location"] == "/admin/"


async def test_an_inactive_admin_stays_outside(
    browser: Browser, make_user: MakeUser
) -> None:
    gone = await make_user(role="admin", is_active=False)

    response = await browser.sign_in(gone.email, PASSWORD)

    assert "This account was deactivated" in response.text
    assert not await may_enter(browser)


async def test_failures_count_together_with_those_of_the_api(
    browser: Browser, client: AsyncClient, admin: User
) -> None:
    form = {"username": admin.email, "password": "Wrong-passw0rd"}
    for _ in range(3):
        await client.post("/auth/token", data=form)
    for _ in range(2):
        await browser.sign_in(admin.email, "Wrong-passw0rd")

    refused = await browser.sign_in(admin.email, PASSWORD)
    by_the_api = await client.post("/auth/token", data={**form, "password": PASSWORD})

    assert "Too many attempts" in refused.text
    assert by_the_api.status_code == 429


@pytest.mark.parametrize("act", ["deactivate", "demote", "revoke", "delete"])
async def test_an_admin_who_loses_the_right_loses_the_site_on_the_next_click(
    admin_browser: Browser,
    admin: User,
    make_user: MakeUser,
    sign_in: Any,
    act: str,
) -> None:
    assert await may_enter(admin_browser)
    chief = await sign_in((await make_user(role="admin")).id)
    path = f"/users/{admin.id}"

    response = await {
        "deactivate": lambda: chief.post(f"{path}/deactivate"),
        "demote": lambda: chief.patch(path, json={"role": "user"}),
        "revoke": lambda: chief.delete(f"{path}/sessions"),
        "delete": lambda: chief.delete(path),
    }[act]()

    assert response.status_code in {200, 204}
    assert not await may_enter(admin_browser)
    again = await admin_browser.open("/admin/bedplate/user/")
    assert "/admin/login/" in str(again.url)


async def test_changing_ones_password_keeps_this_session_and_ends_the_others(
    admin_browser: Browser, admin: User, as_admin: AsyncClient
) -> None:
    await admin_browser.open("/admin/password_change/")
    wrong = await admin_browser.submit(
        current_password="Not-the-0ne", new_password="An0ther-password"
    )
    assert "The current password is wrong" in wrong.text

    await admin_browser.submit(
        current_password=PASSWORD, new_password="An0ther-password"
    )

    assert "Your password was changed" in admin_browser.page.text
    assert (await as_admin.get("/users/me")).status_code == 401


async def test_signing_out_ends_the_session_itself(
    app: Application, admin_browser: Browser
) -> None:
    stolen = dict(admin_browser.client.cookies)
    await admin_browser.open("/admin/")
    await admin_browser.submit("/admin/logout/")

    assert not await read_table(app, UserSession)
    admin_browser.client.cookies.update(stolen)
    assert not await may_enter(admin_browser)


async def test_a_cookie_from_before_the_sign_in_is_worth_nothing(
    browser: Browser, admin: User, with_admin: ASGIApp
) -> None:
    """Session fixation: a planted cookie isn't signed in with the user."""
    await browser.open("/admin/login/")
    planted = dict(browser.client.cookies)
    await browser.sign_in(admin.email, PASSWORD)
    assert await may_enter(browser)

    browser.client.cookies.clear()
    browser.client.cookies.update(planted)
    assert not await may_enter(browser)


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
async def test_signing_in_leads_nowhere_else(
    browser: Browser, admin: User, next_: str
) -> None:
    await browser.open("/admin/login/", next=next_)
    response = await browser.submit(username=admin.email, password=PASSWORD, next=next_)

    assert response.status_code == 302
    assert "evil" not in response.headers["location"]
    assert response.headers["location"].startswith("/")


async def test_a_form_without_its_token_is_refused(
    app: Application, admin_browser: Browser, user: User
) -> None:
    address = f"/admin/bedplate/user/{user.id}/act/deactivate/"
    page = await admin_browser.client.post(address)
    foreign = await admin_browser.client.post(
        address,
        data={"csrfmiddlewaretoken": admin_browser.client.cookies["bedplate_csrf"]},
        headers={"Origin": "https://evil.example"},
    )

    assert (page.status_code, foreign.status_code) == (403, 403)
    assert (await admin_browser.client.get(address)).status_code == 405
    saved = next(u for u in await read_table(app, User) if u.id == user.id)
    assert saved.is_active


async def test_no_page_may_be_framed_nor_load_anything_from_elsewhere(
    browser: Browser,
) -> None:
    page = await browser.open("/admin/login/")

    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self'" in policy
    assert page.headers.get_list("x-frame-options") == ["DENY"]
    assert page.headers.get_list("referrer-policy") == ["same-origin"]
    assert "<style" not in page.text
    assert 'style="' not in page.text


async def test_another_host_is_refused(browser: Browser) -> None:
    headers = {"Host": "evil.example"}
    page = await browser.client.get("/admin/login/", headers=headers)

    assert page.status_code == 400
    assert "evil" not in page.text


async def test_the_cookie_is_for_the_browser_alone(
    browser: Browser, admin: User
) -> None:
    response = await browser.sign_in(admin.email, PASSWORD)

    cookies = response.headers.get_list("set-cookie")
    session = next(c for c in cookies if c.startswith("bedplate_admin="))
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session


# Idle sessions

IDLE = timedelta(minutes=60)


async def test_a_sign_in_that_is_not_used_ends(
    app: Application, frozen_clock: FrozenClock, admin_browser: Browser
) -> None:
    stolen = dict(admin_browser.client.cookies)
    frozen_clock.advance(IDLE - timedelta(seconds=1))
    assert await may_enter(admin_browser)
    frozen_clock.advance(IDLE - timedelta(seconds=1))
    assert await may_enter(admin_browser)
    frozen_clock.advance(IDLE)

    assert not await may_enter(admin_browser)
    # The row decides, not the cookie's age: a copy of the cookie is invalid too.
    admin_browser.client.cookies.clear()
    admin_browser.client.cookies.update(stolen)
    assert not await may_enter(admin_browser)
    (row,) = await read_table(app, UserSession)
    assert row.expires_at - row.last_used_at == IDLE


async def test_use_does_not_put_off_the_absolute_end(
    frozen_clock: FrozenClock, admin_browser: Browser
) -> None:
    for _ in range(23):
        frozen_clock.advance(timedelta(minutes=30))
        assert await may_enter(admin_browser)
    frozen_clock.advance(timedelta(minutes=30))

    assert not await may_enter(admin_browser)


async def test_use_is_written_once_a_minute(
    app: Application, frozen_clock: FrozenClock, admin_browser: Browser
) -> None:
    async def used_at() -> Any:
        (row,) = await read_table(app, UserSession)
        return row.last_used_at

    first = await used_at()
    frozen_clock.advance(timedelta(seconds=59))
    assert await may_enter(admin_browser)
    assert await used_at() == first
    frozen_clock.advance(timedelta(seconds=1))
    assert await may_enter(admin_browser)

    assert await used_at() == first + timedelta(minutes=1)


async def test_an_ended_session_is_not_used_again(
    app: Application, frozen_clock: FrozenClock, admin_browser: Browser
) -> None:
    frozen_clock.advance(IDLE)
    before = await read_table(app, UserSession)
    assert not await may_enter(admin_browser)

    assert await read_table(app, UserSession) == before

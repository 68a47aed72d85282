"""What an attacker prepared before an account was recovered is good for nothing."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table
from support_auth import NEW_PASSWORD, bearer, sign_in

from bedplate.main import Application
from bedplate.modules.auth.models import OneTimeToken
from bedplate.modules.users.models import User
from bedplate.modules.users.service import UserService
from bedplate.testing.assertions import assert_refused
from bedplate.testing.browser import Browser
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD

ATTACKER = "attacker@example.com"
OWNER = "user@example.com"
CHANGE, RESET, VERIFY = "Confirm your new email", "new password", "Confirm your email"

Recover = Callable[..., Awaitable[None]]
without_worker = pytest.mark.parametrize(
    "setting_overrides", [{"embedded_worker": False}], ids=["late"]
)


async def ask_for_change(client: AsyncClient) -> None:
    """Request a change of the address, as an attacker who knows the password."""
    tokens = await sign_in(client, OWNER)
    body = {"new_email": ATTACKER, "current_password": PASSWORD}
    answer = await client.post("/auth/email/change", json=body, headers=bearer(tokens))
    assert answer.status_code == 202


async def set_password(app: Application, **_: Any) -> None:
    runtime = app.state.runtime
    async with runtime.database.unit_of_work() as session:
        users = UserService(session, runtime)
        owner = await users.get_by_email(OWNER)
        await users.set_password(owner.id, NEW_PASSWORD)


async def revoke_sessions(as_admin: AsyncClient, user_id: UUID, **_: Any) -> None:
    assert (await as_admin.delete(f"/users/{user_id}/sessions")).status_code == 204


async def reactivate(as_admin: AsyncClient, user_id: UUID, **_: Any) -> None:
    for act in ("deactivate", "activate"):
        assert (await as_admin.post(f"/users/{user_id}/{act}")).status_code == 200


async def move_address(as_admin: AsyncClient, user_id: UUID, **_: Any) -> None:
    body = {"email": "owner@example.org"}
    assert (await as_admin.patch(f"/users/{user_id}", json=body)).status_code == 200


async def change_password(client: AsyncClient, **_: Any) -> None:
    tokens = await sign_in(client, OWNER)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    answer = await client.post(
        "/auth/password/change", json=body, headers=bearer(tokens)
    )
    assert answer.status_code == 204


async def reset_password(client: AsyncClient, app: Application, **_: Any) -> None:
    """By the page of a link that came before; only the attacker's mails are delayed."""
    runtime = app.state.runtime
    async with runtime.database.unit_of_work() as session:
        from bedplate.modules.auth.repository import OneTimeTokenRepository

        users = UserService(session, runtime)
        owner = await users.get_by_email(OWNER)
        token = await OneTimeTokenRepository(session).mint(
            owner, "reset_password", OWNER, runtime.settings.access_token_lifetime
        )
    body = {"token": token, "new_password": NEW_PASSWORD}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204


async def sign_out_everywhere(client: AsyncClient, **_: Any) -> None:
    tokens = await sign_in(client, OWNER)
    answer = await client.post("/auth/logout?scope=all", headers=bearer(tokens))
    assert answer.status_code == 204


async def sign_out_others(client: AsyncClient, **_: Any) -> None:
    tokens = await sign_in(client, OWNER)
    answer = await client.post("/auth/logout?scope=others", headers=bearer(tokens))
    assert answer.status_code == 204


RECOVERIES: list[Recover] = [
    set_password,
    revoke_sessions,
    reactivate,
    move_address,
    change_password,
    reset_password,
    sign_out_everywhere,
    sign_out_others,
]


@pytest.mark.parametrize("recover", RECOVERIES)
async def test_a_pending_change_of_address_does_not_survive_a_recovery(
    app: Application,
    client: AsyncClient,
    as_admin: AsyncClient,
    user: User,
    mailbox: Mailbox,
    recover: Recover,
) -> None:
    await ask_for_change(client)
    token = await mailbox.token(ATTACKER, CHANGE)

    await recover(app=app, client=client, as_admin=as_admin, user_id=user.id)

    answer = await client.post("/auth/email/change/confirm", json={"token": token})
    assert_refused(answer, 400, "INVALID_TOKEN")
    assert ATTACKER not in {row.email for row in await read_table(app, User)}


@without_worker
@pytest.mark.parametrize("recover", RECOVERIES)
async def test_a_mail_that_is_sent_late_mints_nothing_after_a_recovery(
    app: Application,
    client: AsyncClient,
    as_admin: AsyncClient,
    user: User,
    mailbox: Mailbox,
    recover: Recover,
) -> None:
    await ask_for_change(client)

    await recover(app=app, client=client, as_admin=as_admin, user_id=user.id)
    await mailbox.settle()

    assert mailbox.to(ATTACKER) == []
    purposes = {row.purpose for row in await read_table(app, OneTimeToken)}
    assert "change_email" not in purposes


@without_worker
@pytest.mark.parametrize(
    "path", ["/auth/password/forgot", "/auth/email/verify/request"]
)
async def test_no_link_that_was_asked_for_before_a_recovery_is_sent_after_it(
    app: Application, client: AsyncClient, user: User, mailbox: Mailbox, path: str
) -> None:
    assert (await client.post(path, json={"email": OWNER})).status_code == 202

    await set_password(app)
    await mailbox.settle()

    assert mailbox.to(OWNER, RESET) + mailbox.to(OWNER, VERIFY) == []


async def test_a_job_from_before_the_upgrade_sends_nothing_and_does_not_fail(
    app: Application, client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    from bedplate.jobs import enqueue
    from bedplate.modules.auth import tasks

    async with app.state.runtime.database.unit_of_work() as session:
        await enqueue(session, tasks.send_password_reset, email=OWNER)
        await enqueue(session, tasks.send_verification, email=OWNER)
        await enqueue(
            session, tasks.send_email_change, user_id=user.id, new_email=ATTACKER
        )
    await mailbox.settle()

    assert list(mailbox) == []


async def test_a_link_works_where_nothing_happened_in_between(
    client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    await ask_for_change(client)
    token = await mailbox.token(ATTACKER, CHANGE)

    answer = await client.post("/auth/email/change/confirm", json={"token": token})

    assert answer.status_code == 204


# By the other doors.


async def test_so_it_is_after_a_recovery_under_rest_framework(
    with_admin: ASGIApp,
    client: AsyncClient,
    as_admin: AsyncClient,
    user: User,
    mailbox: Mailbox,
) -> None:
    for act in ("email", "deactivate"):
        await ask_for_change(client)
        token = await mailbox.token(ATTACKER, CHANGE, count=1 + (act != "email"))
        async with AsyncClient(
            transport=httpx.ASGITransport(with_admin),
            base_url="http://test/django/api/v1",
            headers={"Authorization": as_admin.headers["Authorization"]},
        ) as django:
            if act == "email":
                for email in ("moved@example.org", OWNER):
                    body = {"email": email}
                    moved = await django.patch(f"/users/{user.id}", json=body)
                    assert moved.status_code == 200
            else:
                for name in ("deactivate", "activate"):
                    done = await django.post(f"/users/{user.id}/{name}")
                    assert done.status_code == 200

        answer = await client.post("/auth/email/change/confirm", json={"token": token})
        assert_refused(answer, 400, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "fields",
    [{"password": NEW_PASSWORD}, {"email": "moved@example.org"}],
    ids=["password", "email"],
)
async def test_so_it_is_after_a_recovery_in_the_admin(
    admin_browser: Browser,
    client: AsyncClient,
    user: User,
    mailbox: Mailbox,
    fields: dict[str, str],
) -> None:
    await ask_for_change(client)
    token = await mailbox.token(ATTACKER, CHANGE)

    await admin_browser.open(f"/admin/bedplate/user/{user.id}/change/")
    saved = await admin_browser.submit(**fields)

    assert saved.status_code == 302, saved.text
    answer = await client.post("/auth/email/change/confirm", json={"token": token})
    assert_refused(answer, 400, "INVALID_TOKEN")


# Your own address and password.


async def test_an_admin_token_does_not_move_the_admins_own_address(
    app: Application, with_admin: ASGIApp, as_admin: AsyncClient, admin: User
) -> None:
    headers = {"Authorization": as_admin.headers["Authorization"]}
    transport = httpx.ASGITransport(with_admin)
    async with AsyncClient(transport=transport, headers=headers) as both:
        for prefix in ("http://test/api/v1", "http://test/django/api/v1"):
            url = f"{prefix}/users/{admin.id}"
            moved = await both.patch(url, json={"email": ATTACKER, "name": "Mallory"})
            same = await both.patch(url, json={"email": "ADMIN@example.com"})

            assert_refused(moved, 403, "FORBIDDEN")
            assert "/auth/email/change" in moved.json()["error"]["message"]
            assert same.status_code == 200
    assert [row.name for row in await read_table(app, User)] == [admin.name]


@pytest.mark.parametrize(
    "fields",
    [{"password": NEW_PASSWORD}, {"email": ATTACKER}],
    ids=["password", "email"],
)
async def test_an_admin_session_does_not_change_how_the_admin_signs_in(
    app: Application, admin_browser: Browser, admin: User, fields: dict[str, str]
) -> None:
    await admin_browser.open(f"/admin/bedplate/user/{admin.id}/change/")
    page = await admin_browser.submit(**fields)

    assert page.status_code == 200
    assert "your own" in page.text
    (row,) = await read_table(app, User)
    assert (row.email, row.hashed_password) == (admin.email, admin.hashed_password)


async def test_an_admin_changes_the_own_name_and_role_as_before(
    as_admin: AsyncClient, admin: User
) -> None:
    renamed = await as_admin.patch(f"/users/{admin.id}", json={"name": "Ada"})
    last = await as_admin.patch(f"/users/{admin.id}", json={"role": "user"})

    assert renamed.status_code == 200
    assert_refused(last, 409, "LAST_ADMIN")


# Notices.


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"email": "moved@example.org"}, "email address"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_the_owner_is_told_what_an_admin_changed(
    as_admin: AsyncClient,
    user: User,
    mailbox: Mailbox,
    change: dict[str, str],
    text: str,
) -> None:
    await as_admin.patch(f"/users/{user.id}", json=change)

    notice = await mailbox.arrival(OWNER, "An administrator changed your account")
    assert text in text_of(notice)


@pytest.mark.parametrize("act", ["deactivate", "activate"])
async def test_the_owner_is_told_of_activation_once(
    as_admin: AsyncClient, user: User, mailbox: Mailbox, act: str
) -> None:
    if act == "activate":
        await as_admin.post(f"/users/{user.id}/deactivate")
        await mailbox.settle()
    before = len(mailbox.to(OWNER))

    for _ in range(2):
        await as_admin.post(f"/users/{user.id}/{act}")
    await mailbox.settle()

    (notice,) = mailbox.to(OWNER)[before:]
    assert f"{act}d" in text_of(notice)


async def test_the_owner_is_told_that_the_sessions_were_ended(
    as_admin: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    await as_admin.delete(f"/users/{user.id}/sessions")

    notice = await mailbox.arrival(OWNER, "An administrator changed your account")
    assert "signed out" in text_of(notice)


async def test_one_form_with_several_changes_sends_one_notice_without_the_password(
    admin_browser: Browser, user: User, mailbox: Mailbox
) -> None:
    await admin_browser.open(f"/admin/bedplate/user/{user.id}/change/")
    saved = await admin_browser.submit(
        email="moved@example.org", role="admin", password=NEW_PASSWORD, is_active=None
    )
    assert saved.status_code == 302, saved.text
    await mailbox.settle()

    (notice,) = list(mailbox)
    assert notice["To"] == OWNER
    text = text_of(notice)
    for words in ("email address", "role", "password", "deactivated"):
        assert words in text
    assert NEW_PASSWORD not in text


async def test_what_one_does_oneself_sends_no_notice_of_an_administrator(
    as_admin: AsyncClient, admin: User, as_user: AsyncClient, mailbox: Mailbox
) -> None:
    await as_admin.patch(f"/users/{admin.id}", json={"name": "Ada"})
    await as_user.patch("/users/me", json={"name": "Bob"})
    await mailbox.settle()

    assert list(mailbox) == []

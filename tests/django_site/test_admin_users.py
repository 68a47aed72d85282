"""Accounts in the admin site: each change goes through the service."""

from html import unescape
from typing import Any

import pytest
from httpx import AsyncClient
from support import read_table

from bedplate.database import Base
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.browser import Browser
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD, SignIn

USERS = "/admin/bedplate/user/"
LAST_ADMIN = "The last active admin can't be demoted, deactivated or deleted"


def page_of(user: User) -> str:
    return f"{USERS}{user.id}/change/"


async def actions(app: Application) -> list[tuple[str, Any, Any]]:
    """Return the audit trail: actions, actors and subjects."""
    rows = await read_table(app, AuditEvent)
    return [(row.action, row.actor_id, row.subject_id) for row in rows]


async def one(app: Application, model: type[Base], id_: Any) -> Any:
    return next(row for row in await read_table(app, model) if row.id == id_)


async def test_a_new_account_is_welcomed_and_audited(
    app: Application, admin_browser: Browser, admin: User, mailbox: Mailbox
) -> None:
    await admin_browser.open(f"{USERS}add/")
    response = await admin_browser.submit(
        email=" New@Example.com", name="New One", role="admin", password=PASSWORD
    )

    assert response.status_code == 302, response.text
    created = next(
        u for u in await read_table(app, User) if u.email == "new@example.com"
    )
    assert (created.name, created.role, created.is_active) == ("New One", "admin", True)
    assert ("user.created", admin.id, created.id) in await actions(app)
    assert await mailbox.arrival("new@example.com", "Welcome")


async def test_a_refused_account_is_a_form_error_and_changes_nothing(
    app: Application, admin_browser: Browser, user: User
) -> None:
    before = await read_table(app, User)
    await admin_browser.open(f"{USERS}add/")
    filled = {"email": user.email, "name": "Twin", "role": "user"}

    taken = await admin_browser.submit(**filled, password=PASSWORD)
    weak = await admin_browser.submit(**filled, password="all-lower-case")

    assert "This email is already registered" in taken.text
    assert "A password needs an upper-case letter" in weak.text
    assert "A password needs a digit" in weak.text
    assert "all-lower-case" not in weak.text
    assert await read_table(app, User) == before


async def test_what_was_changed_is_saved_and_nothing_else(
    app: Application, admin_browser: Browser, admin: User, user: User
) -> None:
    await admin_browser.open(page_of(user))
    response = await admin_browser.submit(name="Renamed", role="admin")

    assert response.status_code == 302, response.text
    saved = await one(app, User, user.id)
    assert (saved.name, saved.role, saved.email) == ("Renamed", "admin", user.email)
    assert saved.hashed_password == user.hashed_password
    done = await actions(app)
    assert ("user.role_changed", admin.id, user.id) in done
    assert ("user.updated", admin.id, user.id) in done


async def test_saving_without_a_change_writes_nothing(
    app: Application, admin_browser: Browser, user: User
) -> None:
    before = [await one(app, User, user.id), await actions(app)]
    await admin_browser.open(page_of(user))

    assert (await admin_browser.submit()).status_code == 302
    assert [await one(app, User, user.id), await actions(app)] == before


async def test_unticking_active_ends_their_sessions(
    app: Application,
    admin_browser: Browser,
    user: User,
    as_user: AsyncClient,
) -> None:
    await admin_browser.open(page_of(user))
    await admin_browser.submit(is_active=None)

    assert (await one(app, User, user.id)).is_active is False
    assert (await as_user.get("/users/me")).status_code == 401


async def test_a_new_password_ends_their_sessions_and_works(
    app: Application, admin_browser: Browser, user: User, as_user: AsyncClient
) -> None:
    await admin_browser.open(page_of(user))
    await admin_browser.submit(password="An0ther-password")

    assert (await as_user.get("/users/me")).status_code == 401
    form = {"username": user.email, "password": "An0ther-password"}
    assert (await as_user.post("/auth/token", data=form)).status_code == 200


@pytest.mark.parametrize(
    "change", [{"role": "user"}, {"is_active": None}], ids=["role", "is_active"]
)
async def test_the_last_admin_stays_one(
    app: Application, admin_browser: Browser, admin: User, change: dict[str, Any]
) -> None:
    await admin_browser.open(page_of(admin))
    response = await admin_browser.submit(name="Also this", **change)

    assert LAST_ADMIN in unescape(response.text)
    saved = await one(app, User, admin.id)
    assert (saved.role, saved.is_active, saved.name) == ("admin", True, admin.name)


async def test_concurrent_changes_of_one_account_are_reported(
    app: Application, admin_browser: Browser, user: User, as_admin: AsyncClient
) -> None:
    await admin_browser.open(page_of(user))
    faster = await as_admin.patch(f"/users/{user.id}", json={"name": "By the API"})
    assert faster.status_code == 200

    response = await admin_browser.submit(name="By the form")

    assert "It was changed while you had the form open" in response.text
    assert (await one(app, User, user.id)).name == "By the API"


async def test_a_deleted_account_is_gone_with_its_sessions(
    app: Application, admin_browser: Browser, user: User, as_user: AsyncClient
) -> None:
    confirmation = await admin_browser.open(f"{USERS}{user.id}/delete/")
    assert "Sessions: 1" in confirmation.text

    response = await admin_browser.submit()

    assert response.headers["location"] == USERS
    assert user.id not in [row.id for row in await read_table(app, User)]
    assert user.id not in [row.user_id for row in await read_table(app, UserSession)]


async def test_deleting_the_last_admin_is_refused_on_the_page(
    app: Application, admin_browser: Browser, admin: User
) -> None:
    await admin_browser.open(f"{USERS}{admin.id}/delete/")
    await admin_browser.submit()

    assert LAST_ADMIN in unescape(admin_browser.page.text)
    assert await one(app, User, admin.id)


async def test_actions_on_one_account(
    app: Application,
    admin_browser: Browser,
    user: User,
    as_user: AsyncClient,
    mailbox: Mailbox,
) -> None:
    async def act(name: str) -> str:
        await admin_browser.open(page_of(user))
        await admin_browser.submit(f"/act/{name}/")
        return admin_browser.page.text

    assert "Revoke sessions: user@example.com" in await act("revoke-sessions")
    assert (await as_user.get("/users/me")).status_code == 401
    assert "Deactivate: user@example.com" in await act("deactivate")
    assert (await one(app, User, user.id)).is_active is False
    assert "Activate: user@example.com" in await act("activate")
    assert (await one(app, User, user.id)).is_active is True
    assert "Send password reset: user@example.com" in await act("send-password-reset")
    assert await mailbox.token(user.email, "password")


async def test_an_action_on_several_shows_which_were_refused(
    app: Application, admin_browser: Browser, admin: User, user: User
) -> None:
    await admin_browser.open(USERS)
    selected = [str(admin.id), str(user.id)]
    await admin_browser.submit(action="deactivate", _selected_action=selected)

    assert "Deactivate: user@example.com" in admin_browser.page.text
    refused = f"Deactivate: admin@example.com. {LAST_ADMIN}"
    assert refused in unescape(admin_browser.page.text)
    assert (await one(app, User, user.id)).is_active is False
    assert (await one(app, User, admin.id)).is_active is True


async def test_the_list_filters_and_searches(
    admin_browser: Browser, admin: User, user: User, other: User, sign_in: SignIn
) -> None:
    only_admins = await admin_browser.open(USERS, role__exact="admin")
    assert "admin@example.com" in only_admins.text
    assert "user@example.com" not in only_admins.text

    results = await admin_browser.open(USERS, q="OTHER")
    assert "other@example.com" in results.text
    assert "user@example.com" not in results.text


async def test_no_page_shows_a_hash(
    app: Application, admin_browser: Browser, user: User
) -> None:
    for path in (USERS, page_of(user)):
        page = await admin_browser.open(path)
        assert "argon2" not in page.text
        assert "hashed" not in page.text

    for path, lookup in (
        (USERS, "password__startswith"),
        ("/admin/bedplate/session/", "user__password__startswith"),
    ):
        guessed = await admin_browser.open(path, **{lookup: "$"})
        assert guessed.status_code == 400, lookup

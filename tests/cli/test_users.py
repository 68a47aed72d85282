"""`bedplate users …`: managing accounts by the rules of the API."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from support import read_table

from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.users.models import User
from bedplate.testing.plugin import PASSWORD


@pytest.fixture
def users(bedplate: Any, database_url: str) -> Callable[..., Any]:
    """Run `bedplate users …` on a migrated database of either kind."""
    settings = {"database_url": database_url}

    def run(*arguments: str, **options: Any) -> Any:
        return bedplate("users", *arguments, **settings, **options)

    return run


def create(users: Any, email: str, *options: str, password: str = PASSWORD) -> Any:
    arguments = ("create", email, "--name", "Someone", "--password-stdin", *options)
    return users(*arguments, stdin=f"{password}\n")


def refusal(done: Any) -> str:
    """Return the one line of a refused command."""
    lines = done.err.splitlines()
    assert done.code == 1
    assert done.out == ""
    assert len(lines) == 1, done.err
    return str(lines[0])


def test_an_account_is_created_and_listed(users: Any) -> None:
    done = create(users, " First@Example.COM ", "--role", "admin")
    listing = users("list")

    assert (done.code, done.out) == (0, "Created admin first@example.com.\n")
    assert listing.code == 0
    assert listing.out.splitlines()[1].split()[:4] == [
        "first@example.com",
        "Someone",
        "admin",
        "yes",
    ]


def test_the_list_shows_an_account_on_one_line(users: Any) -> None:
    email = f"{'a' * 60}@{'b' * 60}.example.com"
    name = "[/red] Not [bold]markup " + "n" * 70
    users("create", email, "--name", name, "--password-stdin", stdin=PASSWORD)

    line = users("list").out.splitlines()[1]

    assert email in line
    assert name in line


def test_the_list_is_filtered_by_role_and_text(users: Any) -> None:
    create(users, "one@example.com")
    create(users, "two@example.com", "--role", "admin")

    assert "two@" in users("list", "--role", "admin").out
    assert "one@" not in users("list", "--role", "admin").out
    assert "two@" not in users("list", "-q", "ONE@").out


@pytest.mark.parametrize(
    ("email", "name", "role", "password", "field"),
    [
        ("no-address", "Someone", "user", PASSWORD, "email"),
        ("a@example.com", " ", "user", PASSWORD, "name"),
        ("a@example.com", "Someone", "", PASSWORD, "role"),
        ("a@example.com", "Someone", "user", "marker-secret-1", "password"),
        ("a@example.com", "Someone", "user", "", "password"),
    ],
)
def test_wrong_input_is_one_line_that_names_the_field_and_not_the_value(
    users: Any, email: str, name: str, role: str, password: str, field: str
) -> None:
    done = users(
        *("create", email, "--name", name, "--role", role, "--password-stdin"),
        stdin=f"{password}\n",
    )

    line = refusal(done)
    assert line.startswith(f"bedplate: {field}: ")
    assert "no-address" not in line
    assert "marker-secret" not in line


def test_an_unknown_role_is_refused(users: Any) -> None:
    assert "user, admin" in refusal(create(users, "a@example.com", "--role", "king"))


def test_a_taken_address_is_refused(users: Any) -> None:
    create(users, "taken@example.com")

    assert "already registered" in refusal(create(users, "TAKEN@example.com"))


def test_without_a_terminal_the_password_must_come_on_standard_input(
    users: Any,
) -> None:
    done = users("create", "a@example.com", "--name", "Someone")

    assert "--password-stdin" in refusal(done)


@pytest.mark.parametrize(
    "arguments",
    [
        ("set-role", "{email}", "admin"),
        ("activate", "{email}"),
        ("deactivate", "{email}"),
        ("set-password", "{email}", "--password-stdin"),
    ],
)
@pytest.mark.parametrize("email", ["nobody@example.com", "no address at all"])
def test_a_missing_account_is_one_line(
    users: Any, arguments: tuple[str, ...], email: str
) -> None:
    done = users(*(a.format(email=email) for a in arguments), stdin=PASSWORD)

    assert "Traceback" not in refusal(done)


@pytest.mark.parametrize("arguments", [("set-role", "user"), ("deactivate",)])
def test_the_last_admin_stays(users: Any, arguments: tuple[str, ...]) -> None:
    create(users, "root@example.com", "--role", "admin")
    command, *rest = arguments

    refused = users(command, "root@example.com", *rest)

    assert "last active admin" in refusal(refused)
    assert users("list").out.splitlines()[1].split()[2:4] == ["admin", "yes"]


async def test_a_new_role_applies_to_the_next_request_of_a_running_server(
    users: Any, as_user: AsyncClient, user: User
) -> None:
    before = await as_user.get("/users")
    done = await asyncio.to_thread(users, "set-role", user.email, "admin")
    after = await as_user.get("/users")

    assert done.out == f"{user.email} now has the role admin.\n"
    assert (before.status_code, after.status_code) == (403, 200)


async def test_an_account_is_deactivated_and_activated_under_a_running_server(
    users: Any, as_user: AsyncClient, user: User, client: AsyncClient
) -> None:
    form = {"username": user.email, "password": PASSWORD}

    shut_out = await asyncio.to_thread(users, "deactivate", user.email)
    assert (shut_out.code, shut_out.out) == (0, f"{user.email} is deactivated.\n")
    assert (await as_user.get("/users/me")).status_code == 401
    assert (await client.post("/auth/token", data=form)).status_code == 403

    let_in = await asyncio.to_thread(users, "activate", user.email)
    assert (let_in.code, let_in.out) == (0, f"{user.email} is active.\n")
    assert (await client.post("/auth/token", data=form)).status_code == 200


async def test_a_new_password_replaces_the_old_one(
    users: Any, user: User, client: AsyncClient
) -> None:
    new = "An0ther-password"
    arguments = ("set-password", user.email, "--password-stdin")

    done = await asyncio.to_thread(users, *arguments, stdin=f"{new}\n")

    assert done.out == f"{user.email} has a new password.\n"
    for password, status in ((PASSWORD, 401), (new, 200)):
        form = {"username": user.email, "password": password}
        assert (await client.post("/auth/token", data=form)).status_code == status


async def test_unlock_lifts_the_limit_on_an_account_s_sign_in(
    users: Any, client: AsyncClient, user: User, app: Application
) -> None:
    form = {"username": user.email, "password": PASSWORD}
    for number in range(6):
        wrong = {**form, "password": f"wrong {number}"}
        await client.post("/auth/token", data=wrong)
    locked = await client.post("/auth/token", data=form)

    done = await asyncio.to_thread(users, "unlock", user.email.upper())

    assert locked.status_code == 429
    assert (done.code, done.out) == (0, f"{user.email} can sign in again.\n")
    assert (await client.post("/auth/token", data=form)).status_code == 200
    events = [e for e in await read_table(app, AuditEvent) if "unlocked" in e.action]
    assert [(e.subject_id, e.actor_id) for e in events] == [(user.id, None)]


def test_unlocking_an_unknown_account_is_refused(users: Any) -> None:
    assert "nobody@example.com" not in refusal(users("unlock", "nobody@example.com"))

"""Every door to a new password passes the account's address and name to the policy."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import read_table
from support_auth import sign_in
from support_stacks import PREFIXES, Stack

from bedplate.config import Settings, SettingsError
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.passwords import PasswordRules, load_policy
from bedplate.testing.breached import FakeBreachedPasswords
from bedplate.testing.browser import Browser
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD

NAMES_OWNER = "must not contain your name or email address"
BREACHED = "known from a data breach"
NAME = "Ada Lovelace"
OF_NAME = "xx-lovelace-42"
OF_EMAIL = "xx-countess-42"
EMAIL = "countess@example.com"
GOOD = "correct horse battery"


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"password_policy": "modern"}


@pytest.fixture
def ada(app: Application, make_user: Any) -> Any:
    return make_user(email=EMAIL, name=NAME)


def problem(answer: httpx.Response, field: str) -> str:
    assert answer.status_code == 422, answer.text
    (detail,) = answer.json()["error"]["details"]
    assert detail["field"] == field
    return str(detail["message"])


@pytest.mark.parametrize("stack", PREFIXES)
async def test_sign_up(with_admin: ASGIApp, app: Application, stack: str) -> None:
    body = {"email": EMAIL, "name": NAME}
    async with Stack(with_admin, PREFIXES[stack]).client() as client:
        for password in (OF_NAME, OF_EMAIL):
            refused = await client.post("/users", json={**body, "password": password})
            assert NAMES_OWNER in problem(refused, "body.password")
        assert not await read_table(app, User)
        created = await client.post("/users", json={**body, "password": GOOD})
        assert created.status_code == 201


async def test_change(client: AsyncClient, ada: Any) -> None:
    await ada
    tokens = await sign_in(client, EMAIL)
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    for password in (OF_NAME, OF_EMAIL):
        body = {"current_password": PASSWORD, "new_password": password}
        refused = await client.post("/auth/password/change", json=body)
        assert NAMES_OWNER in problem(refused, "body.new_password")
    body = {"current_password": PASSWORD, "new_password": GOOD}
    assert (await client.post("/auth/password/change", json=body)).status_code == 204


async def test_reset_leaves_the_token_unspent(
    client: AsyncClient, ada: Any, mailbox: Mailbox
) -> None:
    await ada
    await client.post("/auth/password/forgot", json={"email": EMAIL})
    token = await mailbox.token(EMAIL, "new password")
    for password in (OF_NAME, OF_EMAIL):
        body = {"token": token, "new_password": password}
        refused = await client.post("/auth/password/reset", json=body)
        assert NAMES_OWNER in problem(refused, "body.new_password")
    body = {"token": token, "new_password": GOOD}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204


async def test_the_admin_s_form_knows_the_name_that_it_gives(
    admin_browser: Browser, app: Application, ada: Any
) -> None:
    user = await ada
    before = await read_table(app, User)
    page = f"/admin/bedplate/user/{user.id}/change/"
    changes = [
        {"password": OF_NAME},
        {"password": OF_EMAIL},
        {"password": "xx-byron-xx-42", "name": "Augusta Byron"},
        {"password": "xx-augusta-42", "email": "augusta@example.com"},
    ]
    for changed in changes:
        await admin_browser.open(page)
        refused = await admin_browser.submit(**changed)
        assert NAMES_OWNER in refused.text
    assert await read_table(app, User) == before

    await admin_browser.open(page)
    assert (await admin_browser.submit(password=GOOD)).status_code == 302


def own_policy(password: str, *, email: str, name: str) -> list[str]:
    return [f"Not {email} and not {name}"]


async def test_a_function_of_your_own_is_a_policy(
    client: AsyncClient, app: Application
) -> None:
    name = "test_new_passwords:own_policy"
    settings = Settings.load(_env_file=None, password_policy=name)
    rules = PasswordRules(load_policy(settings))
    app.state.runtime = dataclasses.replace(app.state.runtime, passwords=rules)

    body = {"email": EMAIL, "name": NAME, "password": GOOD}
    refused = await client.post("/users", json=body)

    assert problem(refused, "body.password") == f"Not {EMAIL} and not {NAME}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "has no attribute 'check'"),
        ("check = 3", "is not a callable object"),
        ("def check(password): return []", "unexpected keyword"),
        ("raise ValueError('broken')", "broken"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
    ],
)
def test_a_wrong_policy_stops_the_start_with_one_line(
    tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "rules.py").write_text(source)
    done = subprocess.run(
        [Path(sys.executable).with_name("bedplate"), "serve", "--port", "0"],
        cwd=tmp_path,
        env={"BEDPLATE_PASSWORD_POLICY": "rules:check", "NO_COLOR": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("bedplate: BEDPLATE_PASSWORD_POLICY: 'rules:check'")
    assert reason in done.stderr


@pytest.mark.parametrize("name", ["default", "", "shop.passwords", "a b:c", "strict "])
def test_an_unknown_policy_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"POLICY: .* is not a password policy"):
        Settings.load(_env_file=None, password_policy=name)


class OutsideTransactions(FakeBreachedPasswords):
    """Refuses to be asked while the application holds a connection."""

    def __init__(self, app: Application, *passwords: str) -> None:
        super().__init__(*passwords)
        self._pool: Any = app.state.runtime.database.engine.pool

    async def contains(self, password: str) -> bool:
        assert self._pool.checkedout() == 0
        return await super().contains(password)


@pytest.fixture
def breached(app: Application) -> FakeBreachedPasswords:
    service = OutsideTransactions(app, "known from a breach 1", "known from a breach 2")
    policy = load_policy(app.state.runtime.settings)
    rules = PasswordRules(policy, service)
    app.state.runtime = dataclasses.replace(app.state.runtime, passwords=rules)
    return service


async def test_a_breached_password_is_refused_by_every_door(
    client: AsyncClient, ada: Any, breached: FakeBreachedPasswords, mailbox: Mailbox
) -> None:
    await ada
    weak = "known from a breach 1"
    tokens = await sign_in(client, EMAIL)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    await client.post("/auth/password/forgot", json={"email": EMAIL})
    token = await mailbox.token(EMAIL, "new password")
    new = {"email": "new@example.com", "name": "New"}

    for path, body, field in (
        ("/users", {**new, "password": weak}, "body.password"),
        (
            "/auth/password/change",
            {"current_password": PASSWORD, "new_password": weak},
            "body.new_password",
        ),
        (
            "/auth/password/reset",
            {"token": token, "new_password": weak},
            "body.new_password",
        ),
    ):
        refused = await client.post(path, json=body, headers=headers)
        assert BREACHED in problem(refused, field)
    assert breached.checked == [weak] * 3

    reset = {"token": token, "new_password": GOOD}
    assert (await client.post("/auth/password/reset", json=reset)).status_code == 204


async def test_the_admin_asks_before_the_transaction_begins(
    breached: FakeBreachedPasswords, admin_browser: Browser, ada: Any
) -> None:
    user = await ada
    await admin_browser.open(f"/admin/bedplate/user/{user.id}/change/")
    refused = await admin_browser.submit(password="known from a breach 2")
    assert BREACHED in refused.text
    saved = await admin_browser.submit(password=GOOD)
    assert saved.status_code == 302
    assert breached.checked == ["known from a breach 2", GOOD]


async def test_a_password_that_the_policy_refuses_is_not_sent(
    client: AsyncClient, breached: FakeBreachedPasswords
) -> None:
    body = {"email": EMAIL, "name": NAME, "password": OF_NAME}
    assert (await client.post("/users", json=body)).status_code == 422
    assert breached.checked == []

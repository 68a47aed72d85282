"""The pages behind the links in mails: plain forms that work without a script."""

import re

import pytest
from httpx import AsyncClient
from support_auth import NEW_PASSWORD, sign_in, try_sign_in

from bedplate.config import Settings
from bedplate.modules.auth.links import PAGES, Purpose, link
from bedplate.modules.users.models import User
from bedplate.testing.mailbox import Mailbox

SITE = "http://test"


async def reset_link(client: AsyncClient, mailbox: Mailbox, user: User) -> str:
    await client.post("/auth/password/forgot", json={"email": user.email})
    mail = await mailbox.arrival(user.email, "new password")
    body = mail.get_body(("plain",))
    assert body is not None
    (path,) = re.findall(r"http://[^/\s]+(/account/\S+)", body.get_content())
    return f"{SITE}{path}"


async def test_a_link_leads_to_a_form_that_sets_the_password(
    client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    url = await reset_link(client, mailbox, user)
    for _ in range(3):  # a mail scanner opens it too
        page = await client.get(url)
    assert page.status_code == 200
    fields = dict(re.findall(r'name="(\w+)"(?: value="([^"]*)")?', page.text))
    assert fields.keys() >= {"token", "new_password"}

    form = {"token": fields["token"], "new_password": NEW_PASSWORD}
    done = await client.post(url.partition("?")[0], data=form)

    assert done.status_code == 200
    await sign_in(client, user.email, NEW_PASSWORD)
    spent = await client.post(url.partition("?")[0], data=form)
    assert spent.status_code == 400
    assert "no longer valid" in spent.text


@pytest.mark.parametrize("password", ["weak-passw0rd", "A1b", "", "A1" * 65])
async def test_a_weak_password_is_told_and_the_form_comes_again(
    client: AsyncClient, user: User, mailbox: Mailbox, password: str
) -> None:
    url = await reset_link(client, mailbox, user)
    token = url.partition("token=")[2]

    form = {"token": token, "new_password": password}
    answer = await client.post(url.partition("?")[0], data=form)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert token in answer.text
    assert (await try_sign_in(client, user.email, password)).status_code in {401, 422}


@pytest.mark.parametrize("purpose", Purpose)
async def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(
    client: AsyncClient, purpose: Purpose
) -> None:
    answer = await client.get(f"{SITE}{PAGES[purpose]}?token=<script>alert(1)</script>")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert not re.search(r"(src|href)=", answer.text)


@pytest.mark.parametrize("purpose", Purpose)
async def test_a_link_without_a_good_token_is_told_so(
    client: AsyncClient, purpose: Purpose
) -> None:
    for token in ("nonsense", "x" * 5000):
        opened = await client.get(f"{SITE}{PAGES[purpose]}", params={"token": token})
        form = {"token": token, "new_password": NEW_PASSWORD}
        answer = await client.post(f"{SITE}{PAGES[purpose]}", data=form)

        assert (opened.status_code, answer.status_code) == (200, 400)
        assert answer.headers["content-type"].startswith("text/html")


def test_a_project_s_own_pages_take_the_links(settings: Settings) -> None:
    with_page = settings.model_copy(update={"reset_url": "https://shop.example/reset"})

    assert (
        link(with_page, Purpose.RESET_PASSWORD, "t")
        == "https://shop.example/reset?token=t"
    )

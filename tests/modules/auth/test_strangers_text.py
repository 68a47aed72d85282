"""What a stranger types is in no mail to an address that nobody has verified."""

from httpx import AsyncClient
from support_auth import bearer, sign_in

from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import PASSWORD, MakeUser

NAME = "Buy-cheap-watches now"


def bodies(mailbox: Mailbox) -> list[str]:
    return [
        part.get_content()
        for mail in mailbox
        for part in mail.walk()
        if not part.is_multipart()
    ]


async def test_no_mail_to_an_unverified_address_holds_the_name(
    client: AsyncClient, mailbox: Mailbox
) -> None:
    body = {"email": "victim@example.com", "name": NAME, "password": PASSWORD}
    assert (await client.post("/users", json=body)).status_code == 201
    await client.post("/auth/email/verify/request", json={"email": body["email"]})
    await client.post("/auth/password/forgot", json={"email": body["email"]})
    tokens = await sign_in(client, body["email"])
    change = {"new_email": "other@example.com", "current_password": PASSWORD}
    await client.post("/auth/email/change", json=change, headers=bearer(tokens))
    await mailbox.settle()

    assert {mail["To"] for mail in mailbox} == {body["email"], "other@example.com"}
    assert len(list(mailbox)) >= 5
    assert not [text for text in bodies(mailbox) if NAME in text or "Buy" in text]


async def test_whose_address_is_verified_is_greeted_by_name(
    client: AsyncClient, user: User, mailbox: Mailbox
) -> None:
    for path in ("verify/request", "verify"):
        request: dict[str, str] = {"email": user.email}
        if path == "verify":
            request = {"token": await mailbox.token(user.email, "Confirm your email")}
        await client.post(f"/auth/email/{path}", json=request)
    await client.post("/auth/password/forgot", json={"email": user.email})

    mail = await mailbox.arrival(user.email, "new password")
    body = mail.get_body(("plain",))
    assert body is not None
    assert f"Hello {user.name}," in body.get_content()


async def test_one_address_gets_three_mails_an_hour_whoever_asks(
    client: AsyncClient, make_user: MakeUser, mailbox: Mailbox
) -> None:
    answers = []
    for _ in range(4):
        asking = await make_user()
        tokens = await sign_in(client, asking.email)
        change = {"new_email": "target@example.com", "current_password": PASSWORD}
        answers.append(
            await client.post("/auth/email/change", json=change, headers=bearer(tokens))
        )
    await mailbox.settle()

    assert [answer.status_code for answer in answers[:3]] == [202] * 3
    assert_refused(answers[3], 429, "RATE_LIMITED")
    assert len(mailbox.to("target@example.com")) == 3

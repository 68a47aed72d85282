"""Limits: counted atomically, shared, the same for known and unknown accounts."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from support_auth import refresh, sign_in, try_sign_in

from bedplate.example import BUILT_IN
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import API, PASSWORD, client_for, running

LIMITED = (429, "RATE_LIMITED")


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {
        "trusted_proxies": "10.0.0.0/8",
        "limit_failed_sign_ins_per_address": "1000 per minute",
    }


@pytest.mark.parametrize("email", ["user@example.com", "nobody@example.com"])
async def test_after_five_failures_the_right_password_is_refused_too(
    client: AsyncClient, user: User, email: str
) -> None:
    for spelling in (email, email.upper(), f" {email}", email, email):
        assert (await try_sign_in(client, spelling, "wrong")).status_code == 401

    answer = await try_sign_in(client, email, PASSWORD)

    assert_refused(answer, *LIMITED)
    assert 295 <= int(answer.headers["retry-after"]) <= 300


async def test_fifty_wrong_passwords_at_once_tell_no_more_than_five(
    client: AsyncClient, user: User
) -> None:
    """Known failure of others: counters undone by the rollback of the refusal."""
    answers = await asyncio.gather(
        *(try_sign_in(client, user.email, f"wrong {n}") for n in range(50))
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) == 5
    assert statuses.count(429) == 45
    assert_refused(await try_sign_in(client, user.email, PASSWORD), *LIMITED)


async def test_right_passwords_at_once_are_all_let_in(
    client: AsyncClient, user: User
) -> None:
    answers = await asyncio.gather(
        *(try_sign_in(client, user.email, PASSWORD) for _ in range(12))
    )

    assert {answer.status_code for answer in answers} == {200}


async def test_another_account_is_not_held_up(
    client: AsyncClient, user: User, other: User
) -> None:
    for _ in range(6):
        await try_sign_in(client, user.email, "wrong")

    await sign_in(client, other.email)


@pytest.mark.parametrize(
    "path", ["/auth/password/forgot", "/auth/email/verify/request"]
)
@pytest.mark.parametrize("email", ["user@example.com", "nobody@example.com"])
async def test_mails_to_an_address_are_limited_whether_or_not_it_is_known(
    client: AsyncClient, user: User, path: str, email: str
) -> None:
    answers = [await client.post(path, json={"email": email}) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert 3590 <= int(answers[3].headers["retry-after"]) <= 3600


async def test_refreshes_of_a_session_are_limited(
    client: AsyncClient, user: User
) -> None:
    token = (await sign_in(client, user.email))["refresh_token"]

    statuses = [(await refresh(client, token)).status_code for _ in range(31)]

    assert statuses == [200] * 30 + [429]


async def test_sign_ups_from_an_address_are_limited_but_an_admin_s_are_not(
    client: AsyncClient, as_admin: AsyncClient
) -> None:
    async def sign_up(caller: AsyncClient, number: int) -> int:
        email = f"{number}@example.com"
        body = {"email": email, "name": "N", "password": PASSWORD}
        return (await caller.post("/users", json=body)).status_code

    strangers = [await sign_up(client, n) for n in range(21)]

    assert strangers == [201] * 20 + [429]
    assert await sign_up(as_admin, 100) == 201


class TestPerAddress:
    """Known failure of others: one bucket for all behind a proxy, or a forged one."""

    @pytest.fixture
    def setting_overrides(self) -> dict[str, Any]:
        return {
            "trusted_proxies": "10.0.0.0/8",
            "limit_failed_sign_ins_per_address": "2 per minute",
        }

    async def failures(
        self, app: Application, peer: str, forwarded: list[str]
    ) -> list[int]:
        """Return the statuses of wrong sign-ins of several accounts, one a header."""
        from httpx import ASGITransport

        transport = ASGITransport(app, client=(peer, 1))
        async with AsyncClient(transport=transport, base_url=API) as client:
            return [
                (
                    await try_sign_in(
                        client, f"{n}@x.test", "no", **{"X-Forwarded-For": value}
                    )
                ).status_code
                for n, value in enumerate(forwarded)
            ]

    async def test_clients_behind_a_trusted_proxy_have_buckets_of_their_own(
        self, app: Application
    ) -> None:
        headers = ["1.1.1.1", "2.2.2.2", "1.1.1.1", "2.2.2.2", "1.1.1.1"]
        assert await self.failures(app, "10.0.0.1", headers) == [401] * 4 + [429]

    async def test_a_forged_header_from_an_untrusted_peer_changes_nothing(
        self, app: Application
    ) -> None:
        headers = ["1.1.1.1", "2.2.2.2", "3.3.3.3"]
        assert await self.failures(app, "9.9.9.9", headers) == [401, 401, 429]

    async def test_what_a_client_puts_before_the_proxy_s_word_changes_nothing(
        self, app: Application
    ) -> None:
        headers = [f"6.6.6.{n}, 5.5.5.5" for n in range(3)]
        assert await self.failures(app, "10.0.0.1", headers) == [401, 401, 429]

    async def test_an_ipv6_network_of_64_bits_is_one_client(
        self, app: Application
    ) -> None:
        headers = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2:3::"]
        assert await self.failures(app, "10.0.0.1", headers) == [401, 401, 429]


async def test_two_processes_share_their_counts(
    app: Application, client: AsyncClient, user: User
) -> None:
    async with (
        running(app.state.runtime.settings, modules=BUILT_IN) as twin,
        client_for(twin) as other_process,
    ):
        for caller in (client, other_process, client, other_process, client):
            assert (await try_sign_in(caller, user.email, "no")).status_code == 401

        answer = await try_sign_in(other_process, user.email, PASSWORD)

    assert_refused(answer, *LIMITED)

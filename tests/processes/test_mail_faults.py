"""Every acknowledged sign-up has its mail, and no refused one has, whatever breaks."""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import MANY_SIGN_UPS

from bedplate.config import Settings
from bedplate.example import MODULES as EXAMPLE
from bedplate.jobs import enqueue
from bedplate.modules.emails.tasks import send_email
from bedplate.runtime import Runtime
from bedplate.testing.postgres import LocalPostgres, local_server
from bedplate.testing.servers import Server, run_command, serving, working
from bedplate.testing.smtp import OK, Inbox, accept, smtp_server

PASSWORD = "Passw0rd-of-tests"
CALLERS = 8
# Or what was acknowledged just before the kill is gone, by the test kit's choice.
DURABLE = {"synchronous_commit": "on"}


class Census:
    """Who signed up, was refused, or never heard."""

    OTHERS = (httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE)

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self._numbers = itertools.count()

    async def sign_up(self, server: Callable[[], Server], count: int) -> None:
        """Sign up that many more, every tenth with an address that is taken."""
        goal = len(self.acknowledged) + count
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._call(server, goal))

    async def _call(self, server: Callable[[], Server], goal: int) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            while len(self.acknowledged) < goal:
                number = next(self._numbers)
                email = f"user{number}@example.com"
                await self._send(client, server(), email)
                if number % 10 == 0:
                    await self._send(client, server(), email)  # it is taken by now
                    weak = f"weak{number}@example.com"
                    await self._send(client, server(), weak, password="weak")

    async def _send(
        self,
        client: httpx.AsyncClient,
        server: Server,
        email: str,
        password: str = PASSWORD,
    ) -> None:
        body = {"email": email, "name": "A User", "password": password}
        try:
            answer = await client.post(f"{server.api}/users", json=body)
        except httpx.TransportError:
            await asyncio.sleep(0.1)  # it may have been stored, or not
            return
        if answer.status_code == httpx.codes.CREATED:
            self.acknowledged.add(email)
        elif answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            assert password != PASSWORD, answer.text
            self.refused.add(email)
        else:
            assert answer.status_code in self.OTHERS

    def check(self, inbox: Inbox, unreachable: frozenset[str] = frozenset()) -> None:
        """Wait for the last mail; nobody is left out, and no refused one is in."""
        expected = self.acknowledged - unreachable
        _wait(lambda: expected <= inbox.recipients().keys(), 120)
        got = inbox.recipients()
        twice = sum(count > 1 for count in got.values())
        print(
            f"{len(self.acknowledged)} signed up, {len(got)} got mail ({twice} twice), "
            f"{len(unreachable)} can't; {len(self.refused)} were refused"
        )
        assert not (self.refused | unreachable) & got.keys()
        self._check_repeats(inbox)

    def _check_repeats(self, inbox: Inbox) -> None:
        """A mail that came twice has one Message-ID, and nobody else's."""
        ids: dict[str, set[str]] = {}
        for mail in inbox.mails:
            ids.setdefault(str(mail["To"]), set()).add(str(mail["Message-ID"]))
        assert all(len(of_one) == 1 for of_one in ids.values())
        assert len(set.union(*ids.values())) == len(ids)


@pytest.fixture
def census() -> Census:
    return Census()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def postgres() -> Iterator[LocalPostgres]:
    with local_server(**DURABLE) as server:
        yield server


def test_kills_of_the_api_and_of_workers_lose_no_mail(
    database_url: str, tmp_path: Path, census: Census, stack: ExitStack, sign_ups: int
) -> None:
    inbox = stack.enter_context(smtp_server())
    settings = {"database_url": database_url, "mail_url": inbox.url, **MANY_SIGN_UPS}

    def serve() -> Server:
        return stack.enter_context(serving(tmp_path, embedded_worker=False, **settings))

    # Nobody sends yet: the API dies between the commits and the mails.
    server = serve()
    asyncio.run(census.sign_up(lambda: server, sign_ups // 2))
    server.kill()
    assert not inbox.mails

    # One of two workers dies while it sends, and the API comes back.
    first = stack.enter_context(working(tmp_path, **settings))
    stack.enter_context(working(tmp_path, **settings))
    server = serve()

    async def kill_in_the_middle() -> None:
        under_way = asyncio.create_task(census.sign_up(lambda: server, sign_ups // 2))
        before = len(inbox.mails)
        while len(inbox.mails) < before + sign_ups // 10:  # noqa: ASYNC110, a thread fills it
            await asyncio.sleep(0.01)
        first.kill()
        await under_way

    asyncio.run(kill_in_the_middle())
    census.check(inbox)
    assert len(census.acknowledged) >= sign_ups


def test_kills_of_a_server_with_its_worker_inside_lose_no_mail(
    database_url: str, tmp_path: Path, census: Census, stack: ExitStack, sign_ups: int
) -> None:
    inbox = stack.enter_context(smtp_server())

    def serve() -> Server:
        return stack.enter_context(
            serving(
                tmp_path,
                database_url=database_url,
                mail_url=inbox.url,
                embedded_worker=True,
                **MANY_SIGN_UPS,
            )
        )

    for _ in range(2):
        server = serve()
        asyncio.run(census.sign_up(lambda s=server: s, sign_ups // 2))  # type: ignore[misc]  # bound now
        server.kill()
    serve()
    census.check(inbox)
    assert len(census.acknowledged) >= sign_ups


def test_a_postgres_that_is_killed_loses_no_mail(
    tmp_path: Path,
    census: Census,
    stack: ExitStack,
    postgres: LocalPostgres,
    sign_ups: int,
) -> None:
    inbox = stack.enter_context(smtp_server())
    settings = {"database_url": postgres.url, "mail_url": inbox.url, **MANY_SIGN_UPS}
    assert run_command(tmp_path, "migrate", **settings).returncode == 0
    server = stack.enter_context(serving(tmp_path, **settings))
    for _ in range(2):
        stack.enter_context(working(tmp_path, **settings))

    async def kill_in_the_middle() -> None:
        await census.sign_up(lambda: server, sign_ups // 2)
        under_way = asyncio.create_task(census.sign_up(lambda: server, sign_ups // 2))
        await asyncio.sleep(0.5)
        postgres.kill()
        await asyncio.sleep(5)
        await asyncio.to_thread(postgres.start, **DURABLE)
        await under_way

    asyncio.run(kill_in_the_middle())
    census.check(inbox)
    assert len(census.acknowledged) >= sign_ups


def test_a_rollback_takes_its_mail_along(
    settings: Settings, tmp_path: Path, stack: ExitStack, sign_ups: int
) -> None:
    inbox = stack.enter_context(smtp_server())
    url = settings.resolved_database_url.render_as_string(hide_password=False)
    worker = working(tmp_path, database_url=url, mail_url=inbox.url)
    stack.enter_context(worker)
    kept = {f"kept{number}@example.com" for number in range(sign_ups)}
    undone = {f"undone{number}@example.com" for number in range(sign_ups)}

    async def promise() -> None:
        runtime = Runtime.make(settings, EXAMPLE)
        for address in sorted(kept | undone):
            with suppress(ZeroDivisionError):
                async with runtime.database.unit_of_work() as session:
                    await enqueue(
                        session,
                        send_email,
                        template="welcome",
                        to=address,
                        context={"name": address},
                    )
                    if address in undone:
                        raise ZeroDivisionError
        await runtime.close()

    asyncio.run(promise())
    _wait(lambda: len(inbox.mails) >= len(kept), 60)
    print(f"{len(kept)} committed, {len(undone)} rolled back, {len(inbox.mails)} mails")
    assert inbox.recipients().keys() == kept


def test_mail_servers_that_misbehave(
    database_url: str, tmp_path: Path, census: Census, stack: ExitStack, sign_ups: int
) -> None:
    """451 twice, closing and hanging are tried again; 550 is final, until retried."""
    inbox = stack.enter_context(smtp_server(_misbehave))
    server = stack.enter_context(
        serving(
            tmp_path,
            database_url=database_url,
            mail_url=inbox.url,
            mail_timeout=1,
            embedded_worker=True,
            **MANY_SIGN_UPS,
        )
    )
    asyncio.run(census.sign_up(lambda: server, sign_ups))
    of = {
        fault: {e for e in census.acknowledged if _fault(e) == fault}
        for fault in FAULTS
    }
    never = frozenset(of["never"])
    census.check(inbox, unreachable=never)
    print({fault: len(addresses) for fault, addresses in of.items()})
    for fault, tries in FAULTS.items():
        assert {inbox.tries[address] for address in of[fault]} == {tries}

    as_admin = stack.enter_context(_admin(server, tmp_path, database_url))
    page = as_admin.get("/jobs", params={"status": "dead"}).json()
    assert page["total"] == len(never)
    dead = page["items"][0]
    assert (dead["job"], dead["attempts"]) == ("send_email", 1)
    assert dead["error"] == "MailRefused: 550 no such mailbox"

    inbox.reply = accept
    assert as_admin.post(f"/jobs/{dead['id']}/retry").json()["status"] == "queued"
    _wait(lambda: never & inbox.recipients().keys(), 15)


def test_a_mail_server_that_is_down_is_waited_for(
    database_url: str, tmp_path: Path, census: Census, stack: ExitStack, sign_ups: int
) -> None:
    with smtp_server() as inbox:
        port = inbox.port
    server = stack.enter_context(
        serving(
            tmp_path,
            database_url=database_url,
            mail_url=f"smtp://127.0.0.1:{port}",
            embedded_worker=True,
            **MANY_SIGN_UPS,
        )
    )
    asyncio.run(census.sign_up(lambda: server, sign_ups))
    _wait(lambda: "ConnectError" in server.errors, 20)
    inbox = stack.enter_context(smtp_server(port=port))

    census.check(inbox)


FAULTS = {"fine": 1, "later": 3, "close": 2, "never": 1, "hang": 2}
"""How a mail server may fail, and how often a mail is tried then."""


def _fault(address: str) -> str:
    """One in twenty hangs: each time that takes a second, and all others wait."""
    number = int(re.sub(r"\D", "", address))
    return "hang" if number % 20 == 4 else list(FAULTS)[number % 4]


def _misbehave(recipient: str, attempt: int) -> str | None:
    fault = _fault(recipient)
    if fault == "never":
        return "550 no such mailbox"
    if fault == "later" and attempt <= 2:
        return "451 come back later"
    if fault == "close" and attempt == 1:
        return "close"
    if fault == "hang" and attempt == 1:
        return None
    return OK


def _admin(server: Server, folder: Path, database_url: str) -> httpx.Client:
    arguments = ("admin@example.com", "--name", "Admin", "--role", "admin")
    run_command(
        folder,
        "users",
        "create",
        *arguments,
        "--password-stdin",
        stdin=PASSWORD,
        database_url=database_url,
    )
    form = {"username": "admin@example.com", "password": PASSWORD}
    token = httpx.post(f"{server.api}/auth/token", data=form, timeout=30).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    return httpx.Client(base_url=server.api, headers=headers, timeout=30)


def _wait(condition: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't come about in time"
        time.sleep(0.05)

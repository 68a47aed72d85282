"""Every acknowledged sign-up gets its mail, and no rejected one, whatever fails."""

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
from bedplate.example import BUILT_IN
from bedplate.jobs import enqueue
from bedplate.modules.emails.tasks import send_email
from bedplate.runtime import Runtime
from bedplate.testing.postgres import LocalPostgres, local_server
from bedplate.testing.servers import Server, run_command, serving, working
from bedplate.testing.smtp import OK, Inbox, accept, smtp_server

PASSWORD = "Passw0rd-of-tests"
CALLERS = 8
# The test kit turns this off, and then a kill can lose acknowledged rows.
DURABLE = {"synchronous_commit": "on"}


class Census:
    """Who signed up, and who was rejected."""

    OTHERS = (httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE)

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self._numbers = itertools.count()

    async def sign_up(self, server: Callable[[], Server], count: int) -> None:
        """Sign up `count` more accounts, and repeat every tenth one."""
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
                    await self._send(client, server(), email)  # now it is taken
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
            response = await client.post(f"{server.api}/users", json=body)
        except httpx.TransportError:
            await asyncio.sleep(0.1)  # it may have been stored, or not
            return
        if response.status_code == httpx.codes.CREATED:
            self.acknowledged.add(email)
        elif response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            assert password != PASSWORD, response.text
            self.refused.add(email)
        else:
            assert response.status_code in self.OTHERS

    def check(self, inbox: Inbox, unreachable: frozenset[str] = frozenset()) -> None:
        """Wait for the last mail, and check that the right addresses got one."""
        expected = self.acknowledged - unreachable
        _wait(lambda: expected <= inbox.recipients().keys(), 120)
        counts = inbox.recipients()
        duplicates = sum(count > 1 for count in counts.values())
        print(
            f"{len(self.acknowledged)} signed up, {len(counts)} got mail "
            f"({duplicates} twice), "
            f"{len(unreachable)} unreachable, {len(self.refused)} rejected"
        )
        assert not (self.refused | unreachable) & counts.keys()
        self._check_repeats(inbox)

    def _check_repeats(self, inbox: Inbox) -> None:
        """Check that repeated mails have the same Message-ID, and others don't."""
        ids: dict[str, set[str]] = {}
        for mail in inbox.mails:
            ids.setdefault(str(mail["To"]), set()).add(str(mail["Message-ID"]))
        assert all(len(message_ids) == 1 for message_ids in ids.values())
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

    # Without a worker yet: the API dies between the commits and the mails.
    server = serve()
    asyncio.run(census.sign_up(lambda: server, sign_ups // 2))
    server.kill()
    assert not inbox.mails

    # One of two workers dies while it sends, and the API is back.
    first = stack.enter_context(working(tmp_path, **settings))
    stack.enter_context(working(tmp_path, **settings))
    server = serve()

    async def kill_in_the_middle() -> None:
        load = asyncio.create_task(census.sign_up(lambda: server, sign_ups // 2))
        before = len(inbox.mails)
        while len(inbox.mails) < before + sign_ups // 10:  # noqa: ASYNC110, a thread fills it
            await asyncio.sleep(0.01)
        first.kill()
        await load

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
        asyncio.run(census.sign_up(lambda s=server: s, sign_ups // 2))  # type: ignore[misc]  # bound in this iteration
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
        load = asyncio.create_task(census.sign_up(lambda: server, sign_ups // 2))
        await asyncio.sleep(0.5)
        postgres.kill()
        await asyncio.sleep(5)
        await asyncio.to_thread(postgres.start, **DURABLE)
        await load

    asyncio.run(kill_in_the_middle())
    census.check(inbox)
    assert len(census.acknowledged) >= sign_ups


def test_a_rollback_discards_the_mail(
    settings: Settings, tmp_path: Path, stack: ExitStack, sign_ups: int
) -> None:
    inbox = stack.enter_context(smtp_server())
    url = settings.resolved_database_url.render_as_string(hide_password=False)
    worker = working(tmp_path, database_url=url, mail_url=inbox.url)
    stack.enter_context(worker)
    committed = {f"committed{number}@example.com" for number in range(sign_ups)}
    rolled_back = {f"undone{number}@example.com" for number in range(sign_ups)}

    async def enqueue_all() -> None:
        runtime = Runtime.make(settings, BUILT_IN)
        for address in sorted(committed | rolled_back):
            with suppress(ZeroDivisionError):
                async with runtime.database.unit_of_work() as session:
                    await enqueue(
                        session,
                        send_email,
                        template="welcome",
                        to=address,
                        context={"name": address},
                    )
                    if address in rolled_back:
                        raise ZeroDivisionError
        await runtime.close()

    asyncio.run(enqueue_all())
    _wait(lambda: len(inbox.mails) >= len(committed), 60)
    print(
        f"{len(committed)} committed, {len(rolled_back)} rolled back, "
        f"{len(inbox.mails)} mails"
    )
    assert inbox.recipients().keys() == committed


def test_mail_servers_that_misbehave(
    database_url: str, tmp_path: Path, census: Census, stack: ExitStack, sign_ups: int
) -> None:
    # 451, closing and hanging are tried again. 550 is final, until an admin retries.
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
    addresses_by_fault = {
        fault: {e for e in census.acknowledged if _fault(e) == fault}
        for fault in FAULTS
    }
    rejected = frozenset(addresses_by_fault["never"])
    census.check(inbox, unreachable=rejected)
    print({fault: len(addresses) for fault, addresses in addresses_by_fault.items()})
    for fault, tries in FAULTS.items():
        assert {inbox.tries[address] for address in addresses_by_fault[fault]} == {
            tries
        }

    as_admin = stack.enter_context(_admin(server, tmp_path, database_url))
    page = as_admin.get("/jobs", params={"status": "dead"}).json()
    assert page["total"] == len(rejected)
    dead = page["items"][0]
    assert (dead["job"], dead["attempts"]) == ("send_email", 1)
    assert dead["error"] == "MailRefused: 550 no such mailbox"

    inbox.reply = accept
    assert as_admin.post(f"/jobs/{dead['id']}/retry").json()["status"] == "queued"
    _wait(lambda: rejected & inbox.recipients().keys(), 15)


def test_mails_wait_for_a_mail_server_that_is_down(
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
"""How a mail server can fail, and how often a mail is then tried."""


def _fault(address: str) -> str:
    # Only one in twenty hangs: each takes a second, and all others wait.
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
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)

"""An SMTP server for tests, with configurable failures."""

import asyncio
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

Reply = Callable[[str, int], str | None]
"""Returns the reply to a recipient's nth attempt. None never replies."""

OK = "250 OK"


def accept(_recipient: str, _attempt: int) -> str | None:
    return OK


class Inbox:
    """The mails that an SMTP server accepted, and the attempts of each recipient."""

    def __init__(self, reply: Reply, starttls: ssl.SSLContext | None = None) -> None:
        self.reply = reply
        self.users: set[str] = set()
        self._starttls = starttls
        self.mails: list[EmailMessage] = []
        self.tries: Counter[str] = Counter()
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def recipients(self) -> Counter[str]:
        """Return the number of mails of each address."""
        return Counter(str(mail["To"]) for mail in self.mails)

    def make_protocol(self, loop: asyncio.AbstractEventLoop) -> SMTP:
        """Return the protocol for one connection."""
        self.connections += 1
        return SMTP(
            self,
            hostname="test",
            loop=loop,
            timeout=3600,
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            authenticator=self._authenticate,
            auth_require_tls=self._starttls is not None,
        )

    def _authenticate(
        self, _server: SMTP, _session: Session, _: Envelope, _kind: str, data: Any
    ) -> AuthResult:
        self.users.add(data.login.decode())
        return AuthResult(success=True)

    async def handle_DATA(  # noqa: N802, aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        recipient = envelope.rcpt_tos[0]
        self.tries[recipient] += 1
        reply = self.reply(recipient, self.tries[recipient])
        if reply is None:
            await asyncio.sleep(3600)
        if reply == "close":
            cast("asyncio.Transport", server.transport).abort()
            await asyncio.sleep(3600)
        if reply == OK:
            content = cast("bytes", envelope.content)
            mail = message_from_bytes(content, policy=policy.default)
            self.mails.append(mail)
        return str(reply)


@contextmanager
def smtp_server(
    reply: Reply = accept,
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
) -> Iterator[Inbox]:
    """Run a server in a thread, on a free port by default."""
    inbox = Inbox(reply, starttls)
    loop = asyncio.new_event_loop()
    listener = socket.create_server(("127.0.0.1", port))
    inbox.port = listener.getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opening = loop.create_server(
        lambda: inbox.make_protocol(loop), sock=listener, ssl=tls
    )
    server = asyncio.run_coroutine_threadsafe(opening, loop).result(10)
    try:
        yield inbox
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

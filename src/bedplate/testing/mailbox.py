"""What was mailed, for tests: reads what the file transport wrote."""

import asyncio
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

_PATIENCE_SECONDS = 10


class Mailbox:
    """The mails in a folder, oldest first. Jobs send them a moment after the answer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __iter__(self) -> Iterator[EmailMessage]:
        found = self._directory.glob("*.eml")
        for file in sorted(found, key=lambda path: path.stat().st_mtime_ns):
            yield message_from_bytes(file.read_bytes(), policy=policy.default)

    def to(self, address: str, subject: str) -> list[EmailMessage]:
        """Those to an address whose subject holds a text."""
        return [m for m in self if m["To"] == address and subject in m["Subject"]]

    async def arrival(
        self, address: str, subject: str, *, count: int = 1
    ) -> EmailMessage:
        """The `count`th mail to an address, once it is there.

        Raises:
            TimeoutError: it doesn't come.
        """
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(self.to(address, subject)) < count:  # noqa: ASYNC110, a file wakes nobody
                await asyncio.sleep(0.01)
        return self.to(address, subject)[count - 1]

    async def token(self, address: str, subject: str, *, count: int = 1) -> str:
        """The token of the link in that mail."""
        mail = await self.arrival(address, subject, count=count)
        body = mail.get_body(("plain",))
        assert body is not None
        found = re.search(r"token=([\w-]+)", body.get_content())
        assert found is not None, body.get_content()
        return found[1]

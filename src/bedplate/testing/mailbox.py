"""The mails of a test, read from the folder of the file transport."""

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from bedplate.mail import read_mails
from bedplate.testing.jobs import JobRunner


class Mailbox:
    """The mails in a folder, oldest first. They are sent when their jobs run."""

    def __init__(self, directory: Path, jobs: JobRunner) -> None:
        self._directory = directory
        self._jobs = jobs

    def __iter__(self) -> Iterator[EmailMessage]:
        return iter(read_mails(self._directory))

    def to(self, address: str, subject: str = "") -> list[EmailMessage]:
        """Return the mails to an address whose subject contains a text."""
        return [m for m in self if m["To"] == address and subject in m["Subject"]]

    async def settle(self) -> None:
        """Finish the queued jobs, so that all mails are sent.

        Raises:
            JobFailed: a job raised.
        """
        await self._jobs.finish()

    async def arrival(
        self, address: str, subject: str, *, count: int = 1
    ) -> EmailMessage:
        """Return the `count`th mail to an address, once the queued jobs are finished.

        Raises:
            LookupError: there are fewer mails.
        """
        await self.settle()
        mails = self.to(address, subject)
        if len(mails) < count:
            raise LookupError(f"{len(mails)} mails to {address} about {subject!r}")
        return mails[count - 1]

    async def token(self, address: str, subject: str, *, count: int = 1) -> str:
        """Return the token of the link in a mail; see `arrival`."""
        mail = await self.arrival(address, subject, count=count)
        body = mail.get_body(("plain",))
        assert body is not None
        match = re.search(r"token=([\w-]+)", body.get_content())
        assert match is not None, body.get_content()
        return match[1]

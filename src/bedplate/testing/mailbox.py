"""What was mailed, for tests: reads what the file transport wrote."""

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from bedplate.mail import read_mails
from bedplate.testing.jobs import JobRunner


class Mailbox:
    """The mails in a folder, oldest first; jobs send them once they are run."""

    def __init__(self, directory: Path, jobs: JobRunner) -> None:
        self._directory = directory
        self._jobs = jobs

    def __iter__(self) -> Iterator[EmailMessage]:
        return iter(read_mails(self._directory))

    def to(self, address: str, subject: str = "") -> list[EmailMessage]:
        """Those to an address whose subject holds a text."""
        return [m for m in self if m["To"] == address and subject in m["Subject"]]

    async def settle(self) -> None:
        """Finish the jobs that are queued; then nothing more will be sent.

        Raises:
            JobFailed: a job raised.
        """
        await self._jobs.finish()

    async def arrival(
        self, address: str, subject: str, *, count: int = 1
    ) -> EmailMessage:
        """Return the `count`th mail to an address, once the queued jobs are finished.

        Raises:
            LookupError: it isn't there.
        """
        await self.settle()
        found = self.to(address, subject)
        if len(found) < count:
            raise LookupError(f"{len(found)} mails to {address} about {subject!r}")
        return found[count - 1]

    async def token(self, address: str, subject: str, *, count: int = 1) -> str:
        """The token of the link in that mail."""
        mail = await self.arrival(address, subject, count=count)
        body = mail.get_body(("plain",))
        assert body is not None
        found = re.search(r"token=([\w-]+)", body.get_content())
        assert found is not None, body.get_content()
        return found[1]

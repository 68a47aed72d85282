"""`Mail`, and mailers that send it: to the console, to files or by SMTP."""

import asyncio
import re
import ssl
import sys
import time
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.policy import default
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import aiosmtplib

from bedplate.config import MailUrl, Settings
from bedplate.core.clock import utc_now
from bedplate.core.errors import PermanentError
from bedplate.core.private_files import make_private_directory, write_draft

# SMTP servers close idle connections: test one that was idle longer before use.
_TRUST_IDLE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One message to one recipient."""

    to: str
    sender: str
    subject: str
    text: str
    html: str
    message_id: str
    """The same for each attempt to send it, so that duplicates can be recognized."""
    language: str = "en"

    def as_message(self) -> EmailMessage:
        """Return the mail as a MIME message.

        Raises:
            ValueError: a header contains a line break.
        """
        message = EmailMessage(policy=WIRE)
        message["From"] = self.sender
        message["To"] = self.to
        message["Subject"] = self.subject
        message["Date"] = format_datetime(utc_now())
        message["Message-ID"] = self.message_id
        message["Content-Language"] = self.language
        message["Auto-Submitted"] = "auto-generated"  # no out-of-office replies
        message.set_content(self.text)
        message.add_alternative(self.html, subtype="html")
        return message


class MailRefused(PermanentError):
    """The server rejected this mail permanently (a reply of 5xx)."""


class Mailer(Protocol):
    """A way to send mail."""

    async def send(self, mail: Mail) -> None:
        """Send a mail, and return once the server has accepted it.

        Raises:
            MailRefused: permanently. Any other error may be temporary.
        """

    async def close(self) -> None: ...


def make_mailer(settings: Settings) -> Mailer:
    url = settings.parsed_mail_url
    if url.scheme == "smtp":
        return SmtpMailer(url, timeout=settings.mail_timeout)
    folder = outbox_folder(settings)
    files = FileMailer(folder) if folder else None
    if files and url.scheme == "file":
        return files
    return ConsoleMailer(files, with_text=not settings.is_production)


def outbox_folder(settings: Settings) -> Path | None:
    """Return the directory that stores sent mail for inspection, or None.

    Mail to the console is stored in development only: it contains one-time links.
    """
    url = settings.parsed_mail_url
    if url.scheme == "file":
        return url.path
    if url.scheme == "console" and not settings.is_production:
        return settings.data_dir / "outbox"
    return None


def read_mails(folder: Path) -> list[EmailMessage]:
    """Return the mails in a directory, oldest first."""
    files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
    return [message_from_bytes(f.read_bytes(), policy=default) for f in files]


class ConsoleMailer:
    """Prints mail and can also write it to files. The default in development.

    Production prints no texts: the output becomes a log, and texts contain tokens.
    """

    def __init__(self, files: "FileMailer | None", *, with_text: bool) -> None:
        self._files = files
        self._with_text = with_text

    async def send(self, mail: Mail) -> None:
        lines = [f"To: {mail.to}", f"Subject: {mail.subject}"]
        if self._with_text:
            lines += ["", mail.text.rstrip()]
        framed = "\n".join(
            f"  │ {line}".rstrip() for text in lines for line in text.split("\n")
        )
        sys.stdout.write(f"\n{framed}\n\n")
        sys.stdout.flush()
        if self._files is not None:
            await self._files.send(mail)

    async def close(self) -> None:
        pass


class FileMailer:
    """Writes one `.eml` file per mail, which mail programs can open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, mail: Mail) -> None:
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        # Atomic: the file appears when it is complete. A repeated mail replaces it.
        make_private_directory(self._directory)
        name = re.sub(r"[^\w.-]+", "-", mail.message_id.strip("<>"))
        path = self._directory / f"{name}.eml"
        write_draft(path, mail.as_message().as_bytes()).replace(path)

    async def close(self) -> None:
        pass


class SmtpMailer:
    """Sends by SMTP, over one connection that stays open between mails."""

    def __init__(self, url: MailUrl, *, timeout: float) -> None:
        self._client = aiosmtplib.SMTP(
            hostname=url.host,
            port=url.port,
            username=url.username,
            password=url.password,
            use_tls=url.tls == "tls",
            start_tls=url.tls == "starttls",
            tls_context=ssl.create_default_context() if url.tls != "none" else None,
            timeout=timeout,
        )
        self._lock = asyncio.Lock()  # a connection sends one mail at a time
        self._used_at = 0.0

    async def send(self, mail: Mail) -> None:
        message = await asyncio.to_thread(mail.as_message)  # it takes a millisecond
        async with self._lock:
            try:
                await self._ensure_connected()
                await self._client.send_message(message)
            except BaseException as error:
                self._client.close()  # its state is unknown
                if (rejection := _rejection(error)) is None:
                    raise
                raise rejection from error
            self._used_at = time.monotonic()

    async def _ensure_connected(self) -> None:
        if self._client.is_connected:
            if time.monotonic() - self._used_at < _TRUST_IDLE_SECONDS:
                return
            try:
                await self._client.noop()
            except aiosmtplib.SMTPException:
                self._client.close()
            else:
                return
        await self._client.connect()

    async def close(self) -> None:
        async with self._lock:
            if self._client.is_connected:
                try:
                    await self._client.quit()
                except aiosmtplib.SMTPException:
                    self._client.close()


# Replies to the mail itself. A rejected sign-in or greeting is a problem of the
# configuration, which can be fixed while the mail waits.
_ABOUT_THE_MAIL = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)
_PERMANENT = 500


def _rejection(error: BaseException) -> MailRefused | None:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]  # each mail has one recipient
    if isinstance(error, _ABOUT_THE_MAIL) and error.code >= _PERMANENT:
        return MailRefused(f"{error.code} {error.message}")
    return None

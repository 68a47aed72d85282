"""Mail: what one is, and the ways to send it: to the console, to files, by SMTP."""

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

# A server drops an idle connection when it likes: ask before one is used again.
_TRUST_IDLE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One message to one person."""

    to: str
    sender: str
    subject: str
    text: str
    html: str
    message_id: str
    """The same for each attempt to send it, so that a repeat can be recognized."""
    language: str = "en"

    def as_message(self) -> EmailMessage:
        """As it goes over the wire.

        Raises:
            ValueError: a header would have a line break.
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
    """The server won't have this mail, now or later (a reply of 5xx)."""


class Mailer(Protocol):
    """A way to send mail."""

    async def send(self, mail: Mail) -> None:
        """Returns once the mail is handed over.

        Raises:
            MailRefused: for good. Any other error may pass.
        """

    async def close(self) -> None: ...


def make_mailer(settings: Settings) -> Mailer:
    url = settings.parsed_mail_url
    if url.scheme == "smtp":
        return SmtpMailer(url, timeout=settings.mail_timeout)
    folder = outbox_folder(settings)
    kept = FileMailer(folder) if folder else None
    if kept and url.scheme == "file":
        return kept
    return ConsoleMailer(kept, with_text=not settings.is_production)


def outbox_folder(settings: Settings) -> Path | None:
    """Where sent mail is kept, to be looked at; None when it isn't.

    The console's is kept in development only: it holds one-time links.
    """
    url = settings.parsed_mail_url
    if url.scheme == "file":
        return url.path
    if url.scheme == "console" and not settings.is_production:
        return settings.data_dir / "outbox"
    return None


def read_mails(folder: Path) -> list[EmailMessage]:
    """The mail that is kept in a folder, oldest first."""
    files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
    return [message_from_bytes(f.read_bytes(), policy=default) for f in files]


class ConsoleMailer:
    """Prints the mail, and may keep it: development's default.

    Without the text in production, where what is printed is a log: it may hold a token.
    """

    def __init__(self, kept: "FileMailer | None", *, with_text: bool) -> None:
        self._kept = kept
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
        if self._kept is not None:
            await self._kept.send(mail)

    async def close(self) -> None:
        pass


class FileMailer:
    """Writes an `.eml` a mail, which any mail program opens."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, mail: Mail) -> None:
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        """Whole or not at all; a repeat replaces the first."""
        make_private_directory(self._directory)
        name = re.sub(r"[^\w.-]+", "-", mail.message_id.strip("<>"))
        path = self._directory / f"{name}.eml"
        write_draft(path, mail.as_message().as_bytes()).replace(path)

    async def close(self) -> None:
        pass


class SmtpMailer:
    """Sends by SMTP, over one connection that is kept open between mails."""

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
        self._lock = asyncio.Lock()
        self._used_at = 0.0

    async def send(self, mail: Mail) -> None:
        message = await asyncio.to_thread(mail.as_message)  # takes a millisecond
        async with self._lock:
            try:
                await self._ensure_connected()
                await self._client.send_message(message)
            except BaseException as error:
                self._client.close()  # it may be in the middle of anything
                if (refused := _refusal(error)) is None:
                    raise
                raise refused from error
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


# Replies to the mail itself. A refused sign-in or greeting is about us, and may be
# put right while the mail waits.
_ABOUT_THE_MAIL = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)
_PERMANENT = 500


def _refusal(error: BaseException) -> MailRefused | None:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]  # a mail of ours has one
    if isinstance(error, _ABOUT_THE_MAIL) and error.code >= _PERMANENT:
        return MailRefused(f"{error.code} {error.message}")
    return None

"""`bedplate outbox`: show mail that was written to files instead of sent."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail

if TYPE_CHECKING:
    from email.message import EmailMessage


def register(app: typer.Typer) -> None:
    app.command()(outbox)


def outbox(
    number: Annotated[
        int | None, typer.Argument(help="The mail to show. 1 is the newest.")
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Open the mail in a browser.")
    ] = False,
) -> None:
    """List mail that was written to files, or show one mail.

    Mail is written to files in development, and if BEDPLATE_MAIL_URL is `file:///dir`.
    """
    from bedplate.config import Settings
    from bedplate.mail import outbox_folder, read_mails

    folder = outbox_folder(Settings.load())
    if folder is None:
        fail("mail is sent by SMTP, so there are no files to show")
    mails = read_mails(folder)[::-1]
    if number is None:
        for position, mail in enumerate(mails, 1):
            print(f"{position:3}  {mail['Date']}  {mail['To']}  {mail['Subject']}")
    elif not 1 <= number <= len(mails):
        fail(f"{number} is not a mail. The outbox holds {len(mails)}, from 1")
    elif html:
        webbrowser.open(_write_page(folder, mails[number - 1]).as_uri())
    else:
        print(_part(mails[number - 1], "plain"))


def _write_page(folder: Path, mail: "EmailMessage") -> Path:
    from bedplate.core.private_files import write_draft

    page = folder.absolute() / "shown.html"
    return write_draft(page, _part(mail, "html").encode()).replace(page)


def _part(mail: "EmailMessage", kind: str) -> str:
    part = mail.get_body([kind])
    return str(part.get_content()) if part is not None else ""

"""`bedplate outbox`: the mail that development sent to nobody."""

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
        int | None, typer.Argument(help="Which one to show; 1 is the newest.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="Open it in a browser.")] = False,
) -> None:
    """Show what mail was sent, with MAIL_URL `file:///dir` or in development."""
    from bedplate.config import Settings
    from bedplate.mail import outbox_folder, read_mails

    folder = outbox_folder(Settings.load())
    if folder is None:
        fail("mail goes out by SMTP: there is no outbox here")
    mails = read_mails(folder)[::-1]
    if number is None:
        for position, mail in enumerate(mails, 1):
            print(f"{position:3}  {mail['Date']}  {mail['To']}  {mail['Subject']}")
    elif not 1 <= number <= len(mails):
        fail(f"there are {len(mails)} mails")
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

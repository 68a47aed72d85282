"""Render mails from templates.

A mail is two files in the folder of its language: `welcome.html`, and `welcome.txt`,
whose first line is the subject.
"""

from collections.abc import Sequence
from email.utils import parseaddr
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    Template,
    select_autoescape,
)

from bedplate.config import Settings
from bedplate.mail import Mail

DEFAULT_LANGUAGE = "en"


def render(
    settings: Settings,
    template: str,
    *,
    to: str,
    message_id: str,
    language: str | None = None,
    folders: Sequence[Path] = (),
    **context: Any,
) -> Mail:
    """Render a mail in a language, or in English if the template isn't translated.

    Without `language` it is the settings' one. `message_id` is the job's id: the header
    is derived from it, so it is the same for each attempt. A template is searched in
    the setting's folder, then in those of the modules, then in the built-in one.

    Raises:
        jinja2.TemplateNotFound: the template does not exist.
        jinja2.UndefinedError: the context lacks a value that the template uses.
    """
    language = language or settings.mail_language
    product, sender = parseaddr(settings.mail_from)
    values = {
        "product": product or "Bedplate",
        "public_url": settings.public_url,
        "language": language,
        **context,
    }
    overrides = [settings.mail_templates] if settings.mail_templates else []
    find = partial(_find, (*overrides, *folders), language)
    subject, text = _split(find(f"{template}.txt").render(values))
    return Mail(
        to=to,
        sender=settings.mail_from,
        subject=subject,
        text=text,
        html=find(f"{template}.html").render(values, subject=subject),
        message_id=f"<{message_id}@{sender.rpartition('@')[2]}>",
        language=language,
    )


def _split(rendered: str) -> tuple[str, str]:
    subject, _, text = rendered.partition("\n")
    return subject.strip(), text.strip() + "\n"


def _find(folders: tuple[Path, ...], language: str, name: str) -> Template:
    languages = (language, language.partition("-")[0], DEFAULT_LANGUAGE)  # de-AT, de
    environment = _environment(folders)
    return environment.select_template([f"{folder}/{name}" for folder in languages])


@cache
def _environment(folders: tuple[Path, ...]) -> Environment:
    """Return an environment where a project's templates and layout come first."""
    built_in = PackageLoader("bedplate.modules.emails")
    return Environment(
        loader=ChoiceLoader([FileSystemLoader(folders), built_in]),
        autoescape=select_autoescape(["html"]),
        # A missing value fails the job instead of leaving a gap in the mail.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

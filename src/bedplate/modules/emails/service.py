"""Templates to mails.

A mail is two files in a folder a language: `welcome.html`, and `welcome.txt`, whose
first line is the subject.
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
    """A mail in a language, or in English where the template isn't translated.

    Without one it is in the settings' language. `message_id` is the job's id: the
    header is made of it, the same each time. A template is looked for in the setting's
    folder, in those of modules, in ours.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: the context lacks what the template asks for.
    """
    language = language or settings.mail_language
    product, sender = parseaddr(settings.mail_from)
    values = {
        "product": product or "Bedplate",
        "public_url": settings.public_url,
        "language": language,
        **context,
    }
    chosen = [settings.mail_templates] if settings.mail_templates else []
    find = partial(_find, (*chosen, *folders), language)
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
    """A project's own templates before ours; its layout replaces ours as well."""
    ours = PackageLoader("bedplate.modules.emails")
    return Environment(
        loader=ChoiceLoader([FileSystemLoader(folders), ours]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

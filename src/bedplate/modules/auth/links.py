"""The links in mails: where each purpose's page is, and how long its token lives."""

from datetime import timedelta
from enum import StrEnum

from bedplate.config import Settings


class Purpose(StrEnum):
    """What a one-time token is good for; it is no good for anything else."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105
    CHANGE_EMAIL = "change_email"


PAGES = {
    Purpose.VERIFY_EMAIL: "/account/verify-email",
    Purpose.RESET_PASSWORD: "/account/reset-password",
    Purpose.CHANGE_EMAIL: "/account/change-email",
}


def link(settings: Settings, purpose: Purpose, token: str) -> str:
    """The address of the page that takes a token: the project's own, or ours."""
    own_page = {
        Purpose.VERIFY_EMAIL: settings.verify_url,
        Purpose.RESET_PASSWORD: settings.reset_url,
        Purpose.CHANGE_EMAIL: settings.change_email_url,
    }[purpose]
    return f"{own_page or settings.link_base + PAGES[purpose]}?token={token}"


def lifetime(settings: Settings, purpose: Purpose) -> timedelta:
    if purpose is Purpose.RESET_PASSWORD:
        return timedelta(minutes=settings.reset_minutes)
    return timedelta(hours=settings.verify_hours)

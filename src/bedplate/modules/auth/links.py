"""Links in emails: the page of each purpose, and the lifetime of its token."""

from datetime import timedelta
from enum import StrEnum

from bedplate.config import Settings


class Purpose(StrEnum):
    """The only use of a one-time token."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105
    CHANGE_EMAIL = "change_email"


PAGES = {
    Purpose.VERIFY_EMAIL: "/account/verify-email",
    Purpose.RESET_PASSWORD: "/account/reset-password",
    Purpose.CHANGE_EMAIL: "/account/change-email",
}


def link(settings: Settings, purpose: Purpose, token: str) -> str:
    """Return the address of the page for a token: the project's page, or ours."""
    project_page = {
        Purpose.VERIFY_EMAIL: settings.verify_url,
        Purpose.RESET_PASSWORD: settings.reset_url,
        Purpose.CHANGE_EMAIL: settings.change_email_url,
    }[purpose]
    return f"{project_page or settings.link_base + PAGES[purpose]}?token={token}"


def lifetime(settings: Settings, purpose: Purpose) -> timedelta:
    """Return how long a token of this purpose is valid."""
    if purpose is Purpose.RESET_PASSWORD:
        return timedelta(minutes=settings.reset_minutes)
    return timedelta(hours=settings.verify_hours)

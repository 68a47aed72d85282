"""Signing in to the admin site, and out of it by any door."""

from bedplate.modules.users.models import User
from bedplate.testing.browser import Browser
from bedplate.testing.plugin import PASSWORD


async def test_an_admin_signs_in_by_email_and_password(
    browser: Browser, admin: User
) -> None:
    answer = await browser.sign_in(admin.email, PASSWORD)

    assert answer.headers["location"] == "/admin/"
    assert browser.page.status_code == 200

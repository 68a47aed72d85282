"""Every page of the admin site, for every model of every module."""

import re

from bedplate.modules.users.models import User
from bedplate.testing.browser import Browser


async def test_the_front_page_leads_to_every_model(
    admin_browser: Browser, other: User
) -> None:
    page = await admin_browser.open("/admin/")
    lists = set(re.findall(r'href="(/admin/bedplate/\w+/)"', page.text))
    assert len(lists) > 5, page.text
    for address in lists:
        answer = await admin_browser.open(address)
        assert answer.status_code == 200, address
        for row in re.findall(rf'href="({address}[^"?]+/change/)', answer.text)[:1]:
            shown = await admin_browser.open(row)
            assert shown.status_code == 200, row
            print(row)

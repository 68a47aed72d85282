"""Foreign cookies don't change the API's responses."""

import httpx
import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp

from bedplate.testing.browser import Browser

CHANGING = {"x-request-id", "date"}


def comparable(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = [h for h in response.headers.multi_items() if h[0] not in CHANGING]
    body = response.content.replace(response.headers["x-request-id"].encode(), b"")
    return response.status_code, body, sorted(headers)


@pytest.mark.parametrize("path", ["/users/me", "/users", "/posts", "/nowhere"])
@pytest.mark.parametrize("cookie", ["foreign", "garbage:of:cookies", "the admin's"])
async def test_the_api_answers_the_same_with_a_cookie_of_the_admin(
    with_admin: ASGIApp,
    admin_browser: Browser,
    as_user: AsyncClient,
    path: str,
    cookie: str,
) -> None:
    names = [name for name in admin_browser.client.cookies if "csrf" not in name]
    values = dict(admin_browser.client.cookies)
    is_own_cookie = cookie == "the admin's"
    header = "; ".join(
        f"{name}={values[name] if is_own_cookie else cookie}" for name in names
    )
    token = as_user.headers["Authorization"]
    async with AsyncClient(transport=httpx.ASGITransport(with_admin)) as client:
        for headers in ({}, {"Authorization": token}):
            for method in ("GET", "POST"):
                url = f"http://test/django/api/v1{path}"
                plain = await client.request(method, url, headers=headers)
                with_cookie = await client.request(
                    method, url, headers={**headers, "Cookie": header}
                )
                assert names
                assert comparable(with_cookie) == comparable(plain)

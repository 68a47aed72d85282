"""Shared by the tests of sign-in and recovery."""

from typing import Any

from httpx import AsyncClient, Response

from bedplate.testing.plugin import PASSWORD

NEW_PASSWORD = "Another-passw0rd"


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD) -> Any:
    """Sign in and return the tokens of the new session."""
    response = await try_sign_in(client, email, password)
    assert response.status_code == 200, response.text
    return response.json()


async def try_sign_in(
    client: AsyncClient, email: str, password: str, **headers: str
) -> Response:
    form = {"username": email, "password": password}
    return await client.post("/auth/token", data=form, headers=headers)


async def refresh(client: AsyncClient, token: str) -> Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await client.post("/auth/token", data=form)


def bearer(tokens: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def is_signed_in(client: AsyncClient, tokens: Any) -> bool:
    response = await client.get("/users/me", headers=bearer(tokens))
    assert response.status_code in {200, 401}
    return response.status_code == 200

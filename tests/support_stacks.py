"""The ways to the service that the contract is held to on."""

from typing import NamedTuple

import httpx
from starlette.types import ASGIApp

PREFIXES = {"fastapi": "/api/v1", "django": "/django/api/v1"}


class Stack(NamedTuple):
    """One way to the service."""

    service: ASGIApp
    prefix: str

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.service)
        base_url = f"http://test{self.prefix}"
        return httpx.AsyncClient(
            transport=transport, base_url=base_url, headers=headers
        )

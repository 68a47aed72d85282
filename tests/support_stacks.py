"""The two stacks that serve the contract: FastAPI and Django REST framework."""

from typing import NamedTuple

import httpx
from starlette.types import ASGIApp

from bedplate.testing.plugin import transport_for

PREFIXES = {"fastapi": "/api/v1", "django": "/django/api/v1"}


class Stack(NamedTuple):
    """One stack: its ASGI service and the prefix of its paths."""

    service: ASGIApp
    prefix: str

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = transport_for(self.service)
        base_url = f"http://test{self.prefix}"
        return httpx.AsyncClient(
            transport=transport, base_url=base_url, headers=headers
        )

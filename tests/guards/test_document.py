"""The OpenAPI document describes every operation completely."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Query
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import Application, create_app
from bedplate.module import Module
from bedplate.testing.guards import (
    example_request,
    operations,
    public_operations,
    responses_without_schema,
    unbounded_inputs,
)
from bedplate.testing.plugin import running

KEY = "a key for tests, at least 32 bytes long"

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
# A line that is added there opens an operation to everyone.
PUBLIC = {*PYPROJECT["tool"]["bedplate"]["check"]["public"]}

planted = Router(prefix="/planted")


class Loose(BaseModel):
    text: str
    count: int
    tags: list[str]


@planted.post("")
async def accept_anything(loose: Loose, q: Annotated[str, Query()] = "") -> Any:
    """Accept input without limits, return an undeclared type, and be public."""
    return {"loose": loose, "q": q}


def make(*more: Module) -> Application:
    settings = Settings.load(_env_file=None, secret_key=KEY)
    return create_app(settings, (*BUILT_IN, *more))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make().openapi()


@pytest.fixture(scope="module")
def planted_document() -> dict[str, Any]:
    return make(Module(name="planted", router=planted)).openapi()


def test_every_input_has_a_limit(document: dict[str, Any]) -> None:
    assert unbounded_inputs(document) == []


def test_every_success_has_a_schema(document: dict[str, Any]) -> None:
    assert responses_without_schema(document) == []


def test_a_planted_input_without_a_limit_is_seen(
    planted_document: dict[str, Any],
) -> None:
    assert unbounded_inputs(planted_document) == [
        f"POST /api/v1/planted: {place}"
        for place in (
            "query.q",
            "body",
            "body.text",
            "body.count",
            "body.tags",
            "body.tags[]",
        )
    ]


def test_a_planted_response_without_a_schema_is_seen(
    planted_document: dict[str, Any],
) -> None:
    assert responses_without_schema(planted_document) == ["POST /api/v1/planted: 200"]


async def open_to_strangers(app: Application) -> set[str]:
    """Return the operations that don't require authentication."""
    document = app.openapi()
    transport = ASGITransport(app)
    async with AsyncClient(transport=transport, base_url="http://test") as stranger:
        return {
            name
            for name, _ in operations(document)
            if await _accepts(stranger, example_request(document, name))
        }


async def _accepts(stranger: AsyncClient, request: dict[str, Any]) -> bool:
    response = await stranger.request(**request)
    assert response.status_code < 500, response.text
    if response.status_code != 401:
        return True
    return bool(response.json()["error"]["code"] != "UNAUTHENTICATED")


async def test_no_operation_is_open_to_strangers_by_accident(app: Application) -> None:
    assert await open_to_strangers(app) == PUBLIC


async def test_a_planted_operation_without_a_caller_is_seen(settings: Settings) -> None:
    modules = (*BUILT_IN, Module(name="planted", router=planted))
    async with running(settings, modules=modules) as app:
        assert await open_to_strangers(app) == {*PUBLIC, "POST /api/v1/planted"}


def test_the_document_shows_the_same_public_operations(
    document: dict[str, Any],
) -> None:
    assert public_operations(document) == PUBLIC

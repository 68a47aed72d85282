"""What the OpenAPI document tells of every operation, and of a planted bad one."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Query
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from bedplate.api.routing import Router
from bedplate.config import Settings
from bedplate.example import MODULES as EXAMPLE
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
# Whoever adds a line there opens an operation to strangers.
PUBLIC = {*PYPROJECT["tool"]["bedplate"]["check"]["public"]}

planted = Router(prefix="/planted")


class Loose(BaseModel):
    text: str
    count: int
    tags: list[str]


@planted.post("")
async def accept_anything(loose: Loose, q: Annotated[str, Query()] = "") -> Any:
    """Unbounded on the way in, unsaid on the way out, and open to everyone."""
    return {"loose": loose, "q": q}


def make(*more: Module) -> Application:
    settings = Settings.load(_env_file=None, secret_key=KEY)
    return create_app(settings, (*EXAMPLE, *more))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make().openapi()


@pytest.fixture(scope="module")
def planted_document() -> dict[str, Any]:
    return make(Module(name="planted", router=planted)).openapi()


def test_everything_that_a_caller_sends_has_a_limit(document: dict[str, Any]) -> None:
    assert unbounded_inputs(document) == []


def test_every_success_says_what_it_holds(document: dict[str, Any]) -> None:
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


def test_a_planted_answer_without_a_schema_is_seen(
    planted_document: dict[str, Any],
) -> None:
    assert responses_without_schema(planted_document) == ["POST /api/v1/planted: 200"]


async def open_to_strangers(app: Application) -> set[str]:
    """The operations that take a stranger's valid request for what it is."""
    document = app.openapi()
    transport = ASGITransport(app)
    async with AsyncClient(transport=transport, base_url="http://test") as stranger:
        return {
            name
            for name, _ in operations(document)
            if await _accepts(stranger, example_request(document, name))
        }


async def _accepts(stranger: AsyncClient, request: dict[str, Any]) -> bool:
    answer = await stranger.request(**request)
    assert answer.status_code < 500, answer.text
    if answer.status_code != 401:
        return True
    return bool(answer.json()["error"]["code"] != "UNAUTHENTICATED")


async def test_no_operation_is_open_to_strangers_by_accident(app: Application) -> None:
    assert await open_to_strangers(app) == PUBLIC


async def test_a_planted_operation_without_a_caller_is_seen(settings: Settings) -> None:
    modules = (*EXAMPLE, Module(name="planted", router=planted))
    async with running(settings, modules=modules) as app:
        assert await open_to_strangers(app) == {*PUBLIC, "POST /api/v1/planted"}


def test_the_document_tells_the_same_of_strangers(document: dict[str, Any]) -> None:
    assert public_operations(document) == PUBLIC

"""Both stacks document the same operations in the same way."""

from copy import deepcopy
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.types import ASGIApp

from bedplate.main import Application

METHODS = {"get", "post", "put", "patch", "delete"}
# Only FastAPI serves these: the rows of the contract without a D.
FASTAPI_ALONE = {
    ("/users/me", "delete"),
    ("/users/{user_id}/sessions", "get"),
    ("/users/{user_id}/sessions", "delete"),
}
# Names and texts of the frameworks, on which no client depends.
WORDS = {"title", "description", "summary", "operationId"}
NULL = {"type": "null"}

Operations = dict[tuple[str, str], dict[str, Any]]


def operations(document: dict[str, Any], prefix: str) -> Operations:
    """Return the operations of users and posts, by path and method."""
    return {
        (path.removeprefix(prefix), method): item[method]
        for path, item in document["paths"].items()
        if path.startswith((f"{prefix}/users", f"{prefix}/posts"))
        for method in METHODS & item.keys()
    }


def without_words(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: without_words(v) for k, v in schema.items() if k not in WORDS}
    if isinstance(schema, list):
        return [without_words(item) for item in schema if item != NULL]
    return schema


def parameters(operation: dict[str, Any]) -> Any:
    results = {}
    for parameter in operation.get("parameters", ()):
        schema = without_words(parameter["schema"])
        schema = schema["anyOf"][0] if "anyOf" in schema else schema
        key = (parameter["in"], parameter["name"].lower())
        results[key] = (parameter.get("required", False), schema)
    return results


def responses_of(operation: dict[str, Any]) -> Any:
    """Return the content and the headers of responses, by status."""
    return {
        status: (
            without_words(response.get("content")),
            sorted(response.get("headers", ())),
        )
        for status, response in operation["responses"].items()
    }


@pytest_asyncio.fixture
async def documents(app: Application, with_admin: ASGIApp) -> list[dict[str, Any]]:
    transport = httpx.ASGITransport(with_admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        served = await client.get("/django/api/v1/schema")
    assert served.status_code == 200, served.text
    return [app.openapi(), served.json()]


def differences(
    fastapi_operation: dict[str, Any], django_operation: dict[str, Any]
) -> list[str]:
    """Return the parts in which two documents of one operation differ."""
    compared = {
        "parameters": (parameters(fastapi_operation), parameters(django_operation)),
        "responses": (responses_of(fastapi_operation), responses_of(django_operation)),
        "body": (
            fastapi_operation.get("requestBody"),
            django_operation.get("requestBody"),
        ),
        "security": tuple(
            sorted(map(str, o["security"]))
            for o in (fastapi_operation, django_operation)
        ),
    }
    return [name for name, (one, other) in compared.items() if one != other]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_both_documents_tell_the_same(documents: list[dict[str, Any]]) -> None:
    fastapi = operations(documents[0], "/api/v1")
    django = operations(documents[1], "/django/api/v1")

    assert django.keys() == fastapi.keys() - FASTAPI_ALONE
    results = {
        key: differences(operation_document, fastapi[key])
        for key, operation_document in django.items()
    }
    assert not any(results.values()), results


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_both_documents_are_valid(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        assert document["openapi"].startswith("3.1.")
        OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_validator_sees_an_invalid_schema(
    documents: list[dict[str, Any]],
) -> None:
    for document in documents:
        planted = deepcopy(document)
        schemas = planted["components"]["schemas"]
        schemas["UserResponse"]["properties"]["email"]["type"] = "text"

        assert list(OpenAPIV31SpecValidator(planted).iter_errors())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_comparison_sees_what_differs(app: Application) -> None:
    operation_document = operations(app.openapi(), "/api/v1")["/posts", "get"]
    planted = deepcopy(operation_document)
    planted["parameters"][3]["schema"]["enum"].pop()
    del planted["responses"]["400"]
    planted["security"].pop()

    assert differences(planted, operation_document) == [
        "parameters",
        "responses",
        "security",
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_both_documents_mean_the_same_schemas(
    documents: list[dict[str, Any]],
) -> None:
    fastapi, django = (d["components"]["schemas"] for d in documents)

    assert django.keys() >= {"UserCreate", "PostListResponse", "ErrorResponse"}
    for name, schema in django.items():
        assert without_words(schema) == without_words(fastapi[name]), name

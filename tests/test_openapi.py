"""The OpenAPI document, against what the running service answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import jsonschema_rs
import pytest
import pytest_asyncio
from fastapi import APIRouter
from httpx import AsyncClient, Response
from support import Clients
from uuid_utils.compat import uuid7

from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.plugin import client_for

METHODS = {"get", "post", "put", "patch", "delete"}
# Whoever adds an operation for strangers says so here.
PUBLIC = {
    ("POST", "/api/v1/users"),
    ("POST", "/api/v1/auth/token"),
    ("POST", "/api/v1/auth/password/forgot"),
    ("POST", "/api/v1/auth/password/reset"),
    ("POST", "/api/v1/auth/email/verify/request"),
    ("POST", "/api/v1/auth/email/verify"),
    ("POST", "/api/v1/auth/email/change/confirm"),
    ("GET", "/api/v1/posts"),
    ("GET", "/api/v1/posts/{post_id}"),
}


class Operation(NamedTuple):
    method: str
    path: str
    declared: dict[str, Any]

    def url(self, id_: object) -> str:
        """Its address, with this id for each parameter of its path."""
        parts = self.path.split("/")
        filled = [str(id_) if part.startswith("{") else part for part in parts]
        return f"http://test{'/'.join(filled)}"


def operations(app: Application) -> Iterator[Operation]:
    for path, item in app.openapi()["paths"].items():
        for method in METHODS & item.keys():
            yield Operation(method.upper(), path, item[method])


async def doors_left_open(app: Application) -> set[tuple[str, str]]:
    """Return the operations that do not answer a stranger with 401."""
    paths = set()
    async with client_for(app) as stranger:
        for operation in operations(app):
            answer = await stranger.request(operation.method, operation.url(uuid7()))
            challenged = answer.headers.get("www-authenticate") == "Bearer"
            if answer.status_code != 401 or not challenged:
                paths.add((operation.method, operation.path))
    return paths


async def test_a_stranger_gets_401_wherever_it_is_not_public(app: Application) -> None:
    assert await doors_left_open(app) == PUBLIC


async def test_the_search_for_open_doors_finds_one(app: Application) -> None:
    planted = APIRouter()

    @planted.get("/planted")
    async def planted_door() -> None: ...

    app.include_router(planted, prefix="/api/v1")

    assert await doors_left_open(app) == {*PUBLIC, ("GET", "/api/v1/planted")}


async def test_an_operation_asks_for_a_token_just_where_it_needs_one(
    app: Application,
) -> None:
    unsecured = {
        (o.method, o.path) for o in operations(app) if not o.declared.get("security")
    }

    assert unsecured <= PUBLIC


def test_every_error_is_declared_as_the_envelope(app: Application) -> None:
    for operation in operations(app):
        for status, response in operation.declared["responses"].items():
            if status >= "400":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorResponse"}
                assert response["description"]


def test_no_schema_of_fastapi_s_own_errors_is_left(app: Application) -> None:
    assert "HTTPValidationError" not in str(app.openapi())


def test_no_schema_that_goes_out_speaks_of_passwords(app: Application) -> None:
    for name, schema in app.openapi()["components"]["schemas"].items():
        if name.endswith("Response"):
            assert not [f for f in schema["properties"] if "password" in f], name


def test_every_operation_is_named_and_described(app: Application) -> None:
    listed = list(operations(app))
    names = [operation.declared["operationId"] for operation in listed]

    assert len(set(names)) == len(names) > 8
    assert all(operation.declared["summary"] for operation in listed)
    assert all(operation.declared["description"] for operation in listed)


def test_every_parameter_and_property_is_described(app: Application) -> None:
    document = app.openapi()
    parameters = [
        (operation.path, parameter)
        for operation in operations(app)
        for parameter in operation.declared.get("parameters", ())
    ]
    properties = [
        (f"{schema}.{name}", field)
        for schema, declared in document["components"]["schemas"].items()
        for name, field in declared.get("properties", {}).items()
    ]

    assert len(parameters) > 50
    assert len(properties) > 100
    assert [name for name, p in parameters + properties if "description" not in p] == []


def test_every_body_has_an_example(app: Application) -> None:
    schemas = app.openapi()["components"]["schemas"]
    bodies = [
        content["schema"]["$ref"].rpartition("/")[2]
        for operation in operations(app)
        for content in operation.declared.get("requestBody", {})
        .get("content", {})
        .values()
    ]

    assert len(bodies) > 10
    assert [name for name in bodies if not schemas[name].get("examples")] == []


class Live(NamedTuple):
    """An operation, and an answer that it really gave."""

    operation: Operation
    answer: Response


@pytest_asyncio.fixture
async def live_answers(
    app: Application, clients: Clients, user: User, other: User
) -> AsyncIterator[Live]:
    """Everything that every operation says to everyone, right and wrong.

    Deletions come last, so that the others still have something to work on.
    """
    ordered = sorted(
        operations(app), key=lambda operation: operation.method == "DELETE"
    )

    async def ask() -> AsyncIterator[Live]:
        for operation in ordered:
            for client in clients.values():
                for request in requests(operation, user):
                    yield Live(operation, await client.request(**request))

    return ask()


def requests(operation: Operation, user: User) -> Iterator[dict[str, Any]]:
    method = operation.method
    ids = ("no-uuid", uuid7(), user.id) if "{" in operation.path else ("",)
    for id_ in ids:
        url = operation.url(id_)
        for body in BODIES:
            yield {"method": method, "url": url, **body}
        yield {"method": method, "url": f"{url}?page=0&unknown=1"}
        yield {"method": method, "url": f"{url}?cursor=tampered"}
        yield {"method": method, "url": url, "headers": {"Authorization": "Bearer x"}}


JSON = {"Content-Type": "application/json"}
BODIES: list[dict[str, Any]] = [
    {},
    {"json": {}},
    {"json": {"name": "Ann"}},
    {"json": {"name": None, "unknown": 1}},
    {"json": {"email": "other@example.com"}},
    {"json": {"role": "emperor"}},
    {"json": {"email": "new@example.com", "name": "A", "password": "Correct-h0rse"}},
    {"json": {"email": "new@example.com", "name": "A", "password": "short"}},
    {"data": {"username": "user@example.com", "password": "Passw0rd-of-tests"}},
    {"data": {"username": "user@example.com", "password": "wrong"}},
    {"content": b"{", "headers": JSON},
    {"content": b"x" * (1 << 21), "headers": JSON},
    {"content": b"x", "headers": {"Content-Type": "text/plain"}},
]


async def test_every_live_answer_is_declared_and_fits_its_schema(
    app: Application, live_answers: AsyncIterator[Live]
) -> None:
    document = app.openapi()
    seen: set[int] = set()
    async for operation, answer in live_answers:
        status = answer.status_code
        declared = operation.declared["responses"].get(str(status))
        place = f"{operation.method} {operation.path}: {status}"
        assert declared is not None, f"{place} is not declared"
        assert_fits(declared, answer, document, place)
        seen.add(status)
    assert seen == {200, 201, 202, 204, 400, 401, 403, 404, 409, 413, 415, 422, 429}


def assert_fits(
    declared: dict[str, Any], answer: Response, document: dict[str, Any], place: str
) -> None:
    headers = declared.get("headers", {}).items()
    always = {name.lower() for name, header in headers if header.get("required")}
    assert always <= {*answer.headers}, place
    if "content" not in declared:
        assert answer.content == b"", place
        return
    schema = declared["content"][answer.headers["content-type"]]["schema"]
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.validator_for(whole, validate_formats=True)
    assert not [error.message for error in validator.iter_errors(answer.json())], place


async def test_the_document_is_what_the_service_serves(
    client: AsyncClient, app: Application
) -> None:
    served = await client.get("http://test/openapi.json")

    assert served.json() == app.openapi()
    assert (await client.get("http://test/docs")).status_code == 200


@pytest.mark.parametrize("setting_overrides", [{"docs": False}])
async def test_the_documentation_can_be_left_out(client: AsyncClient) -> None:
    assert (await client.get("http://test/openapi.json")).status_code == 404
    assert (await client.get("http://test/docs")).status_code == 404

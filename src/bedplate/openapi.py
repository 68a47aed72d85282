"""The OpenAPI document: what FastAPI makes of the routes, with every error declared."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bedplate.core.errors import APIError
from bedplate.dependencies import OPTIONAL_SCHEME, SCHEME
from bedplate.middleware.errors import ErrorResponse

Responses = dict[int | str, dict[str, Any]]
Operation = dict[str, Any]

_REFERENCE = "#/components/schemas/ErrorResponse"


def errors(*kinds: type[APIError]) -> Responses:
    """The `responses=` of a route for the errors that its service raises."""
    responses: Responses = {}
    for kind in kinds:
        response = responses.setdefault(
            kind.status_code, {"model": ErrorResponse, "description": ""}
        )
        line = f"`{kind.code}`: {kind.message}"
        response["description"] = "\n\n".join(
            filter(None, [response["description"], line])
        )
    return responses


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document, complete: each operation names each error it can answer."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _error_schemas()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"].get("securitySchemes", {}).pop(OPTIONAL_SCHEME, None)
    for operation in _operations(document):
        _declare_optional_caller(operation)
        _declare_errors(operation)
    return document


def _error_schemas() -> dict[str, Any]:
    schema = ErrorResponse.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    parts: dict[str, Any] = schema.pop("$defs")
    return {**parts, "ErrorResponse": schema}


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                yield operation


def _declare_optional_caller(operation: Operation) -> None:
    """A token may be sent, and is checked if it is."""
    if operation.get("security") == [{OPTIONAL_SCHEME: []}]:
        operation["security"] = [{}, {SCHEME: []}]


def _declare_errors(operation: Operation) -> None:
    for status in _possible_statuses(operation):
        declared = operation["responses"].setdefault(str(status), {})
        declared["description"] = (
            declared.get("description") or HTTPStatus(status).phrase
        )
        declared["content"] = {"application/json": {"schema": {"$ref": _REFERENCE}}}
    operation["responses"] = dict(sorted(operation["responses"].items()))
    _declare_headers(operation)


def _possible_statuses(operation: Operation) -> set[int]:
    declared = {int(status) for status in operation["responses"] if status.isdigit()}
    possible = {status for status in declared if status >= HTTPStatus.BAD_REQUEST}
    possible |= {413, 500, 503}  # a body is refused where none is asked for, too
    if operation.get("security"):
        possible.add(401)
    if operation.get("parameters") or "requestBody" in operation:
        possible.add(422)
    if "requestBody" in operation:
        possible.add(415)
    return possible


# RFC 9110 asks for `WWW-Authenticate` on 401, and the contract for `Retry-After`.
_HEADERS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}


def _declare_headers(operation: Operation) -> None:
    for status, response in operation["responses"].items():
        names = ["X-Request-ID", *_HEADERS.get(status, [])]
        declared = {name: {"schema": {"type": "string"}} for name in names}
        response["headers"] = {**response.get("headers", {}), **declared}

"""The parts of the OpenAPI document that both frameworks declare in the same words."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from bedplate.core.errors import (
    APIError,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    errors_of,
)
from bedplate.core.preconditions import MAX_TAGS_LENGTH
from bedplate.idempotency import REPLAYED
from bedplate.schemas import ErrorResponse

Responses = dict[int | str, dict[str, Any]]
Operation = dict[str, Any]

_REFERENCE = "#/components/schemas/ErrorResponse"


def errors(*sources: type[APIError] | Callable[..., Any]) -> Responses:
    """Return the `responses=` of a route: the errors of the service methods it calls.

    `errors(PostService.publish)` takes what the method declares with `raises`. An error
    that the route itself raises is given as it is: `errors(PostService.get, SoldOut)`.
    """
    kinds: list[type[APIError]] = []
    for source in sources:
        kinds += [source] if isinstance(source, type) else errors_of(source)
    responses: Responses = {}
    for kind in dict.fromkeys(kinds):
        response = responses.setdefault(
            kind.status_code, {"model": ErrorResponse, "description": ""}
        )
        line = f"`{kind.code}`: {kind.message}"
        response["description"] = "\n\n".join(
            filter(None, [response["description"], line])
        )
    return responses


_DESCRIPTIONS = {
    "id": "Unique id.",
    "created_at": "Time of creation, in UTC.",
    "updated_at": "Time of the last change, in UTC.",
    "sort": "The order of the rows; a leading `-` reverses it.",
}


def describe(name: str, schema: dict[str, Any], default: str = "") -> None:
    """Describe a property or parameter of a common name, unless it has its own text."""
    words = name.removesuffix("_id").replace("_", " ")
    by_name = f"Id of the {words}." if name.endswith("_id") else default
    description = _DESCRIPTIONS.get(name, by_name)
    if description:
        schema.setdefault("description", description)


def describe_parameters(operation: Operation) -> None:
    """Describe parameters without a text: ids, and the order and filters of lists."""
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        is_filter = parameter["in"] == "query"
        default = f"Return only rows with this `{name}`." if is_filter else ""
        describe(name, parameter, default)


def declare_etag(operation: Operation, *, method: str) -> None:
    """Declare the `ETag` of a resource's representations, and `If-None-Match`."""
    etag = _header("Changes when the body changes (RFC 9110, 8.8.3).")
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {})["ETag"] = etag
    if method == "GET":
        description = "Answer 304 if the resource still has this `ETag`."
        bounds = {"maxLength": MAX_TAGS_LENGTH}
        add_header_parameter(operation, "If-None-Match", description, **bounds)
        operation["responses"]["304"] = {
            "description": "The resource has not changed.",
            "headers": {"ETag": etag},
        }


def declare_idempotency(operation: Operation) -> None:
    """Declare the key of an idempotent POST, and the header of a repeat."""
    description = "A repeat with this key within 24 hours gets the first response."
    bounds = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    add_header_parameter(operation, "Idempotency-Key", description, **bounds)
    replayed = _header("`true` if this is a stored response.", required=False)
    operation["responses"]["201"].setdefault("headers", {})[REPLAYED] = replayed
    add_errors(operation, IdempotencyInProgress, IdempotencyKeyReused)


def add_errors(operation: Operation, *kinds: type[APIError]) -> None:
    """Add errors to the responses of an operation, beside those that it declares."""
    for status, declared in errors(*kinds).items():
        response = operation["responses"].setdefault(str(status), {})
        lines = [
            *response.get("description", "").split("\n\n"),
            *declared["description"].split("\n\n"),
        ]
        response["description"] = "\n\n".join(filter(None, dict.fromkeys(lines)))


def _header(description: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "schema": {"type": "string"},
        "description": description,
        "required": required,
    }


def add_header_parameter(
    operation: Operation, name: str, description: str, **bounds: Any
) -> None:
    operation.setdefault("parameters", []).append(
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string", **bounds},
        }
    )


def error_schemas() -> dict[str, Any]:
    """Return the components that describe errors."""
    schema = ErrorResponse.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    parts: dict[str, Any] = schema.pop("$defs")
    return {**parts, "ErrorResponse": schema}


def declare_errors(operation: Operation) -> None:
    """Declare each error of an operation, and the headers of every response."""
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
    possible |= {413, 500, 503}  # also where no body is expected
    if operation.get("security"):
        possible.add(401)
    if operation.get("parameters") or "requestBody" in operation:
        possible.add(422)
    if "requestBody" in operation:
        possible.add(415)
    if any(p["name"] == "if-match" for p in operation.get("parameters", ())):
        possible.add(412)
    return possible


# RFC 9110 requires `WWW-Authenticate` on 401, and the contract `Retry-After`.
_HEADERS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}


def _declare_headers(operation: Operation) -> None:
    for status, response in operation["responses"].items():
        names = ["X-Request-ID", *_HEADERS.get(status, [])]
        declared = {
            name: {"schema": {"type": "string"}, "required": True} for name in names
        }
        response["headers"] = {**response.get("headers", {}), **declared}

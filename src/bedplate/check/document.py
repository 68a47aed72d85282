"""Reads operations, inputs and responses from an OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Document = Mapping[str, Any]
Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")


def operations(document: Document) -> Iterator[tuple[str, Json]]:
    """Yield every operation with its name, such as `GET /api/v1/users`."""
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def public_operations(document: Document) -> set[str]:
    """Return the names of the operations that need no credentials."""
    return {
        name
        for name, operation in operations(document)
        if {} in (operation.get("security") or [{}])
    }


class Input(NamedTuple):
    """An input of an operation: a parameter, a body or a part of a body."""

    where: str
    """`query.q`, `body`, `body.tags[]`."""
    schema: Json
    owner: str | None = None
    """The named schema that declares it, if it is a field."""
    field: str = ""
    """Its name in that schema."""


def inputs(document: Document, operation: Json) -> Iterator[Input]:
    """Yield all inputs of an operation, and each alternative of a type separately."""
    for parameter in operation.get("parameters", ()):
        where = f"{parameter['in']}.{parameter['name']}"
        yield from _parts(document, Input(where, parameter.get("schema", {})))
    for schema in schemas_of(operation.get("requestBody", {})):
        yield from _parts(document, Input("body", schema))


def _parts(
    document: Document, parent: Input, inside: frozenset[str] = frozenset()
) -> Iterator[Input]:
    reference = parent.schema.get("$ref")
    if reference in inside:
        return  # a recursive schema, such as a tree of comments
    schema = resolved(document, parent.schema)
    if reference is not None:
        inside |= {reference}
        owner: str | None = reference.rpartition("/")[2]
    else:
        owner = parent.owner
    alternatives = [s for k in ("anyOf", "oneOf", "allOf") for s in schema.get(k, ())]
    for alternative in alternatives:
        yield from _parts(document, parent._replace(schema=alternative), inside)
    if not alternatives:
        yield parent._replace(schema=schema)
    for name, field in schema.get("properties", {}).items():
        part = Input(f"{parent.where}.{name}", field, owner, name)
        yield from _parts(document, part, inside)
    if "items" in schema:
        item = parent._replace(where=f"{parent.where}[]", schema=schema["items"])
        yield from _parts(document, item, inside)


def schemas_of(holder: Json) -> Iterator[Json]:
    """Yield the schemas of a request body or a response, one per media type."""
    for media_type in holder.get("content", {}).values():
        yield media_type.get("schema", {})


def successes(operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield the successful responses with a body, by status."""
    for status, response in operation["responses"].items():
        if status.startswith("2") and status not in ("204", "205"):
            yield status, response


def resolved(document: Document, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return resolved(document, node)

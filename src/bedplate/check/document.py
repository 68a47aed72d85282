"""What an OpenAPI document tells of an application's operations."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Document = Mapping[str, Any]
Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")


def operations(document: Document) -> Iterator[tuple[str, Json]]:
    """Every operation, by its name: `GET /api/v1/users`."""
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def public_operations(document: Document) -> set[str]:
    """The operations that need no credentials."""
    return {
        name
        for name, operation in operations(document)
        if {} in (operation.get("security") or [{}])
    }


class Input(NamedTuple):
    """Something that a caller may send: a parameter, a body or a part of one."""

    where: str
    """`query.q`, `body`, `body.tags[]`."""
    schema: Json
    owner: str | None = None
    """The named schema that it is a field of, and the field."""
    field: str = ""


def inputs(document: Document, operation: Json) -> Iterator[Input]:
    """All that an operation takes; each alternative of a type is told by itself."""
    for parameter in operation.get("parameters", ()):
        where = f"{parameter['in']}.{parameter['name']}"
        yield from _parts(document, Input(where, parameter.get("schema", {})))
    for schema in schemas_of(operation.get("requestBody", {})):
        yield from _parts(document, Input("body", schema))


def _parts(
    document: Document, given: Input, inside: frozenset[str] = frozenset()
) -> Iterator[Input]:
    reference = given.schema.get("$ref")
    if reference in inside:
        return  # a tree of comments, say
    schema = resolved(document, given.schema)
    if reference is not None:
        inside |= {reference}
        owner: str | None = reference.rpartition("/")[2]
    else:
        owner = given.owner
    alternatives = [s for k in ("anyOf", "oneOf", "allOf") for s in schema.get(k, ())]
    for alternative in alternatives:
        yield from _parts(document, given._replace(schema=alternative), inside)
    if not alternatives:
        yield given._replace(schema=schema)
    for name, field in schema.get("properties", {}).items():
        part = Input(f"{given.where}.{name}", field, owner, name)
        yield from _parts(document, part, inside)
    if "items" in schema:
        item = given._replace(where=f"{given.where}[]", schema=schema["items"])
        yield from _parts(document, item, inside)


def schemas_of(holder: Json) -> Iterator[Json]:
    """The schemas of a request body or a response, one a media type."""
    for media_type in holder.get("content", {}).values():
        yield media_type.get("schema", {})


def successes(operation: Json) -> Iterator[tuple[str, Json]]:
    """The answers that hold something, by status."""
    for status, response in operation["responses"].items():
        if status.startswith("2") and status not in ("204", "205"):
            yield status, response


def resolved(document: Document, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return resolved(document, found)

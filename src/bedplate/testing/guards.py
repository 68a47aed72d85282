"""Checks of a whole application, for its tests: what no single test would notice.

def test_no_operation_is_open_by_accident(app):
    assert public_operations(app.openapi()) == {"POST /api/v1/auth/token"}
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from blockbuster import BlockBusterFunction, blockbuster_ctx
from sqlalchemy import event

from bedplate.database import Database
from bedplate.database.query import CompiledQuery, Statement

Document = Mapping[str, Any]
Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")
_EXAMPLES = {
    "array": [],
    "boolean": True,
    "email": "example@example.com",
    "integer": 1,
    "number": 1,
    "string": "Examp1e-text",
    "uuid": "01999999-9999-7999-8999-999999999999",
}
# Formats whose texts have a length of their own.
_SHORT_FORMATS = {"uuid", "date", "time", "date-time", "ipv4", "ipv6"}


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


def list_operations(document: Document) -> set[str]:
    """The operations that answer with `items`."""
    return {
        name
        for name, operation in operations(document)
        for schema in _schemas(operation["responses"].get("200", {}))
        if "items" in _resolved(document, schema).get("properties", {})
    }


def unbounded_inputs(document: Document) -> list[str]:
    """What a caller may send without a limit: texts, lists, numbers, other fields."""
    return [
        f"{name}: {place}"
        for name, operation in operations(document)
        for where, schema in _inputs(operation)
        for place in _unbounded(document, schema, where)
    ]


def responses_without_schema(document: Document) -> list[str]:
    """The successes of which the document doesn't say what they hold."""
    return [
        f"{name}: {status}"
        for name, operation in operations(document)
        for status, response in operation["responses"].items()
        if status.startswith("2") and status != "204"
        if not any(_says_something(schema) for schema in _schemas(response))
    ]


def _says_something(schema: Json) -> bool:
    return bool(schema.keys() & {"$ref", "type", "anyOf", "oneOf", "enum", "const"})


def _inputs(operation: Json) -> Iterator[tuple[str, Json]]:
    for parameter in operation.get("parameters", ()):
        yield f"{parameter['in']}.{parameter['name']}", parameter.get("schema", {})
    for schema in _schemas(operation.get("requestBody", {})):
        yield "body", schema


def _schemas(holder: Json) -> Iterator[Json]:
    for media_type in holder.get("content", {}).values():
        yield media_type.get("schema", {})


def _resolved(document: Document, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(document, found)


def _unbounded(document: Document, schema: Json, where: str) -> Iterator[str]:
    schema = _resolved(document, schema)
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if alternatives:
        for alternative in alternatives:
            yield from _unbounded(document, alternative, where)
    elif not _is_bounded(schema):
        yield where
    for name, field in schema.get("properties", {}).items():
        yield from _unbounded(document, field, f"{where}.{name}")
    if "items" in schema:
        yield from _unbounded(document, schema["items"], f"{where}[]")


def _is_bounded(schema: Json) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    match schema.get("type"):
        case "string":
            return "maxLength" in schema or schema.get("format") in _SHORT_FORMATS
        case "integer" | "number":
            return "maximum" in schema or "exclusiveMaximum" in schema
        case "array":
            return "maxItems" in schema
        case "object":
            closed = schema.get("additionalProperties") is False
            return closed or "maxProperties" in schema
        case kind:
            return kind in ("boolean", "null")


def example(document: Document, schema: Json) -> Any:
    """A value that a schema of ours accepts; texts fit as a password, too."""
    schema = _resolved(document, schema)
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        return example(document, alternative)
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: example(document, field) for name, field in fields}
    given = [schema[k] for k in ("default", "const", "minimum") if k in schema]
    given += schema.get("enum", ())
    return given[0] if given else _EXAMPLES[schema.get("format", schema["type"])]


def example_request(document: Document, name: str) -> dict[str, Any]:
    """What to give `httpx.Client.request` for a valid request of an operation."""
    operation = dict(operations(document))[name]
    method, _, path = name.partition(" ")
    parameters = {
        (p["in"], p["name"]): example(document, p["schema"])
        for p in operation.get("parameters", ())
        if p.get("required")
    }
    values = {name: value for (where, name), value in parameters.items()}
    query = {name: v for (where, name), v in parameters.items() if where == "query"}
    request = {"method": method, "url": path.format(**values), "params": query}
    body = operation.get("requestBody", {}).get("content", {})
    for media_type, content in body.items():
        kind = "json" if media_type == "application/json" else "data"
        request[kind] = example(document, content["schema"])
    return request


@contextmanager
def blocking_calls_raise() -> Iterator[None]:
    """In the block, a call that holds up the event loop raises `BlockingError`.

    Files, sockets, sleeps, locks, SQLite, and the hashing of passwords.
    """
    hashing = [BlockBusterFunction(PasswordHasher, n) for n in ("hash", "verify")]
    with blockbuster_ctx():
        for function in hashing:
            function.activate()
        try:
            yield
        finally:
            for function in hashing:
                function.deactivate()


@contextmanager
def recorded_statements(database: Database) -> Iterator[list[str]]:
    """The statements that the block sends, those of the read path included."""
    sent: list[str] = []
    statements: Any = Statement
    compiled_for = Statement.compiled_for

    def record_read(statement: Statement, dialect: sa.Dialect) -> CompiledQuery:
        compiled = compiled_for(statement, dialect)
        sent.append(compiled.sql)
        return compiled

    def record(_c: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        sent.append(sql)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    # SQLAlchemy has no event for these: they run on the driver's own connection.
    statements.compiled_for = record_read
    try:
        yield sent
    finally:
        statements.compiled_for = compiled_for
        event.remove(engine, "before_cursor_execute", record)

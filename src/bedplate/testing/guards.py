"""Checks of a whole application, for what no single test can find.

def test_no_operation_is_open_by_accident(app):
    assert public_operations(app.openapi()) == {"POST /api/v1/auth/token"}
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from blockbuster import BlockBusterFunction, blockbuster_ctx
from sqlalchemy import event

from bedplate.check.document import (
    Document,
    Json,
    inputs,
    operations,
    public_operations,
    resolved,
    schemas_of,
    successes,
)
from bedplate.database import Database
from bedplate.database.query import CompiledQuery, Statement

__all__ = [
    "blocking_calls_raise",
    "example",
    "example_request",
    "list_operations",
    "operations",
    "public_operations",
    "recorded_statements",
    "responses_without_schema",
    "unbounded_inputs",
]

_EXAMPLES = {
    "array": [],
    "boolean": True,
    "email": "example@example.com",
    "integer": 1,
    "number": 1,
    "string": "Examp1e-text",
    "uuid": "01999999-9999-7999-8999-999999999999",
}
# Formats that limit the length of a string.
_SHORT_FORMATS = {"uuid", "date", "time", "date-time", "ipv4", "ipv6"}


def list_operations(document: Document) -> set[str]:
    """Return the operations whose response has `items`."""
    return {
        name
        for name, operation in operations(document)
        for schema in schemas_of(operation["responses"].get("200", {}))
        if "items" in resolved(document, schema).get("properties", {})
    }


def unbounded_inputs(document: Document) -> list[str]:
    """Return the inputs without a limit: strings, lists, numbers, unknown fields."""
    return [
        f"{name}: {field.where}"
        for name, operation in operations(document)
        for field in inputs(document, operation)
        if not _is_bounded(field.schema)
    ]


def responses_without_schema(document: Document) -> list[str]:
    """Return the successful responses that the document declares without a schema."""
    return [
        f"{name}: {status}"
        for name, operation in operations(document)
        for status, response in successes(operation)
        if not any(_is_declared(schema) for schema in schemas_of(response))
    ]


def _is_declared(schema: Json) -> bool:
    return bool(schema.keys() & {"$ref", "type", "anyOf", "oneOf", "enum", "const"})


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
    """Return a value that a schema accepts. Strings are also valid passwords."""
    schema = resolved(document, schema)
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        return example(document, alternative)
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: example(document, field) for name, field in fields}
    values = [schema[k] for k in ("default", "const", "minimum") if k in schema]
    values += schema.get("enum", ())
    return values[0] if values else _EXAMPLES[schema.get("format", schema["type"])]


def example_request(document: Document, name: str) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for a valid request."""
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
    """Raise `BlockingError` for calls in the block that block the event loop.

    These are files, sockets, sleeps, locks, SQLite, and password hashing. Connecting to
    PostgreSQL is allowed, because asyncpg then looks for certificate files.
    """
    hashing = [BlockBusterFunction(PasswordHasher, n) for n in ("hash", "verify")]
    with blockbuster_ctx() as blockbuster:
        for function in blockbuster.functions.values():
            function.can_block_in(
                "asyncpg/connect_utils.py", "_parse_connect_dsn_and_args"
            )
        for function in hashing:
            function.activate()
        try:
            yield
        finally:
            for function in hashing:
                function.deactivate()


# Tasks and threads that the block starts inherit it; the worker's tasks don't.
_is_recorded: ContextVar[bool] = ContextVar("is_recorded", default=False)


@contextmanager
def recorded_statements(database: Database) -> Iterator[list[str]]:
    """Record the SQL statements of the block, including those of the fast read path.

    Statements of the embedded worker are excluded.
    """
    recorded: list[str] = []
    statements: Any = Statement
    compiled_for = Statement.compiled_for

    def record_read(statement: Statement, dialect: sa.Dialect) -> CompiledQuery:
        compiled = compiled_for(statement, dialect)
        if _is_recorded.get():
            recorded.append(compiled.sql)
        return compiled

    def record(_c: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        if _is_recorded.get():
            recorded.append(sql)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    # Patched, because SQLAlchemy has no event for reads on the driver's connection.
    statements.compiled_for = record_read
    token = _is_recorded.set(True)
    try:
        yield recorded
    finally:
        _is_recorded.reset(token)
        statements.compiled_for = compiled_for
        event.remove(engine, "before_cursor_execute", record)

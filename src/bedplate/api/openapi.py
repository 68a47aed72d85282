"""The OpenAPI document: FastAPI's, with every error and header declared."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from bedplate.api.dependencies import OPTIONAL_SCHEME, SCHEME, BearerCaller
from bedplate.api.routing import Route
from bedplate.core.errors import PermissionDenied
from bedplate.openapi_parts import (
    Operation,
    add_errors,
    declare_errors,
    declare_etag,
    declare_idempotency,
    describe,
    describe_parameters,
    error_schemas,
)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the complete document: each operation names each of its errors."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= error_schemas()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"].get("securitySchemes", {}).pop(OPTIONAL_SCHEME, None)
    routes = _routes(app)
    for key, operation in _operations(document):
        _declare_optional_caller(operation)
        route = routes.get(key)
        if route is not None and route.is_resource:
            declare_etag(operation, method=key[0])
        if route is not None and route.is_idempotent and operation.get("security"):
            declare_idempotency(operation)  # without a caller, keys would be shared
        if route is not None and _needs_role(route):
            add_errors(operation, PermissionDenied)
        describe_parameters(operation)
        declare_errors(operation)
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            describe(name, field)
    return document


def callers_of(app: FastAPI) -> dict[tuple[str, str], str]:
    """Return who may call each operation, by method and path.

    `anyone`, `signed in`, or the roles and permissions that its dependencies require.
    What a service decides by the row, such as "your own", counts as `signed in`.
    """
    return {
        (method, context.path_format or ""): _callers(_checks(context.dependant))
        for context in iter_route_contexts(app.router.routes)
        if getattr(context, "dependant", None) is not None
        for method in context.methods or ()
    }


def _checks(dependant: Dependant) -> Iterator[BearerCaller]:
    if isinstance(dependant.call, BearerCaller):
        yield dependant.call
    for dependency in dependant.dependencies:
        yield from _checks(dependency)


def _needs_role(route: Route) -> bool:
    return any(check.roles or check.permission for check in _checks(route.dependant))


def _callers(checks: Iterable[BearerCaller]) -> str:
    required = [check for check in checks if not check.optional]
    roles = sorted({role for check in required for role in check.roles})
    permissions = {check.permission.name for check in required if check.permission}
    named = ", ".join([*roles, *sorted(permissions)])
    return named or ("signed in" if required else "anyone")


_Key = tuple[str, str]  # method and path


def _routes(app: FastAPI) -> dict[_Key, Route]:
    """Return the routes of our own class, by method and path."""
    return {
        (method, context.path_format or ""): context.original_route
        for context in iter_route_contexts(app.router.routes)
        if isinstance(context.original_route, Route)
        for method in context.methods or ()
    }


def _operations(document: dict[str, Any]) -> Iterator[tuple[_Key, Operation]]:
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                yield (method.upper(), path), operation


def _declare_optional_caller(operation: Operation) -> None:
    """Declare that a token is optional, and checked if it is sent."""
    if operation.get("security") == [{OPTIONAL_SCHEME: []}]:
        operation["security"] = [{}, {SCHEME: []}]

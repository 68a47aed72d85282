"""Checks endpoints by their source, for what the OpenAPI document can't show.

Some of these rules run only without a document: see `ProjectIndex.covered_elsewhere`.
"""

import ast
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from bedplate.check.findings import Topic
from bedplate.check.index import (
    ProjectIndex,
    assigned,
    bases_of,
    keyword,
    last_part,
    route_decorator,
)
from bedplate.check.project import Function, Source
from bedplate.check.rules import Place, rule

_CALLER = re.compile(
    r"admin|api_?key|auth|bearer|caller|credential|current|identity|login|permission|"
    r"principal|require|signed|token|verif",
    re.IGNORECASE,
)
# These paths are public by convention: for users who sign in, or for machines.
PUBLIC_PATH = re.compile(
    r"/(callback|docs|forgot[\w-]*|health[\w-]*|live\w*|login|logout|metrics|ping|"
    r"openapi.json|ready\w*|refresh|register|reset[\w-]*|sign-?in|sign-?up|token|"
    r"verify[\w-]*)(/|$)"
)
_FREE = {"dict", "object", "typing.Any", "typing.Dict"}
_ANY_USER = {"AllowAny", "IsAuthenticated", "IsAuthenticatedOrReadOnly"}


@rule(
    "unvalidated-body",
    Topic.VALIDATION,
    why="Any input is accepted, and wrong input fails later, far from its cause, or "
    "never.",
    fix="Declare a Pydantic model for the body, with limits on its fields.",
)
def unvalidated_body(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if route_decorator(function) is None:
            continue
        for parameter, _ in function.parameters:
            if _is_free(source, parameter.annotation):
                name = function.node.name
                yield Place(parameter, f"`{parameter.arg}` of `{name}` has no schema")
        for call in function.calls:
            if re.search(r"^(request|req)\.(json|body|form)$", source.name(call.func)):
                message = f"`{function.node.name}` reads the body without a schema"
                yield Place(call, message)


def _is_free(source: Source, annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Subscript):
        if last_part(source.name(annotation.value)) == "Annotated":
            depends = any(
                last_part(n) == "Depends" for n in source.names_in(annotation)
            )
            inner = annotation.slice
            first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
            return not depends and _is_free(source, first)
        holds_anything = source.names_in(annotation.slice) & {"object", "typing.Any"}
        return bool(holds_anything) and source.name(annotation.value) in _FREE
    return source.name(annotation) in _FREE


@rule(
    "model-view-set",
    Topic.STRANGERS,
    why="A ModelViewSet reads, changes and deletes every row, and every signed-in user "
    "may call it: any user can edit any other.",
    fix="Set permissions by action, or limit `get_queryset` to `self.request.user`.",
)
def model_view_set(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in source.classes:
        if "ModelViewSet" not in bases_of(source, node):
            continue
        permissions = [
            part.value
            for part in node.body
            if isinstance(part, ast.Assign)
            and ast.unparse(part.targets[0]) == "permission_classes"
        ]
        names = {last_part(n) for value in permissions for n in source.names_in(value)}
        if names <= _ANY_USER and not _is_limited(node):
            yield Place(node, f"`{node.name}` lets every user do everything")


def _is_limited(node: ast.ClassDef) -> bool:
    methods = {
        p.name: ast.unparse(p) for p in node.body if isinstance(p, ast.FunctionDef)
    }
    limited = "request.user" in methods.get("get_queryset", "")
    return limited or "get_permissions" in methods


def _routes(source: Source) -> Iterator[tuple[Function, ast.Call]]:
    for function in source.functions:
        decorator = route_decorator(function)
        if decorator is not None:
            yield function, decorator


@rule(
    "open-to-strangers",
    Topic.STRANGERS,
    why="Everyone can call it without signing in.",
    fix="Require the caller (`CurrentUser`), or declare the operation as public in "
    '`[tool.bedplate.check]`: `public = ["POST /signup"]`.',
)
def open_to_strangers(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        router = _router_of(source, decorator)
        dependencies = [keyword(call, "dependencies") for call in (decorator, router)]
        for parameter, default in function.parameters:
            dependencies += [parameter.annotation, default]
        names = index.depends_on(source, dependencies)
        requires_caller = any(map(_CALLER.search, names))
        operation = _operation(decorator, router)
        if not requires_caller and not _is_public(operation, index.public):
            yield Place(function.node, f"`{function.node.name}` requires no caller")


def _router_of(source: Source, decorator: ast.Call) -> ast.expr | None:
    """Return the call that created the decorator's router."""
    assert isinstance(decorator.func, ast.Attribute)
    name = source.name(decorator.func.value)
    return next((v for n, v in assigned(source.tree.body) if n == name), None)


def _operation(decorator: ast.Call, router: ast.expr | None) -> str:
    """Return `GET /items/{id}`, as far as the router's file shows its prefix."""
    assert isinstance(decorator.func, ast.Attribute)
    path = decorator.args[0] if decorator.args else keyword(decorator, "path")
    parts = [keyword(router, "prefix"), path]
    full_path = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
    return f"{decorator.func.attr.upper()} {full_path}"


def _is_public(operation: str, public: AbstractSet[str]) -> bool:
    """Return whether an operation is declared as public, with any further prefix."""
    method, _, path = operation.partition(" ")
    names = (name.partition(" ") for name in public)
    declared = any(path and m == method and p.endswith(path) for m, _, p in names)
    return declared or bool(PUBLIC_PATH.search(path))


@rule(
    "no-response-model",
    Topic.VALIDATION,
    why="Everything that the function returns is sent, even a password hash, and "
    "clients don't know what to expect.",
    fix="Declare `response_model=…`, or the function's return type.",
)
def no_response_model(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        if not returns_anything(source, function):
            continue
        empty = "204" in ast.unparse(keyword(decorator, "status_code") or decorator)
        if keyword(decorator, "response_model") is None and not empty:
            name = function.node.name
            yield Place(function.node, f"`{name}` declares no response schema")


def returns_anything(source: Source, function: Function) -> bool:
    """Return whether a function's return type is missing or allows anything."""
    returned = function.node.returns
    return returned is None or _is_free(source, returned)


@rule(
    "unbounded-input",
    Topic.VALIDATION,
    why="A caller can send megabytes, or request a million rows.",
    fix="Set a limit: `max_length`, `le`, or a type such as `UUID` or `Literal`.",
)
def unbounded_input(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, _ in _routes(source):
        for parameter, default in function.parameters:
            if source.name(parameter.annotation) in ("str", "int") and (
                default is None or isinstance(default, ast.Constant)
            ):
                name = function.node.name
                yield Place(parameter, f"`{parameter.arg}` of `{name}` has no limit")


@rule(
    "bare-list",
    Topic.VALIDATION,
    why="A bare list has no room for a total or the next page, and grows with the "
    "table.",
    fix="Return an object with `items`, `total` and how to get the next page.",
)
def bare_list(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        response = keyword(decorator, "response_model") or function.node.returns
        if isinstance(response, ast.Subscript) and source.name(response.value) in (
            "list",
            "typing.List",
        ):
            yield Place(function.node, f"`{function.node.name}` returns a bare list")

"""Endpoints, by their source: what no document tells, or when there is none."""

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
# By custom, these are for people who aren't signed in yet, or for machines.
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
    why="Anything passes: what isn't checked at the door is checked nowhere, or "
    "breaks far inside.",
    fix="Declare a Pydantic model for the body, with limits on its fields.",
)
def unvalidated_body(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if route_decorator(function) is None:
            continue
        for parameter, _ in function.parameters:
            if _is_free(source, parameter.annotation):
                what = f"`{parameter.arg}` of `{function.node.name}` is of any shape"
                yield Place(parameter, what)
        for call in function.calls:
            if re.search(r"^(request|req)\.(json|body|form)$", source.name(call.func)):
                what = f"`{function.node.name}` reads the body without a schema"
                yield Place(call, what)


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
    why="A ModelViewSet reads, changes and deletes every row, and anyone who is "
    "signed in may: any user edits any other.",
    fix="Give permissions by action, or limit `get_queryset` to `self.request.user`.",
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
        given = {last_part(n) for value in permissions for n in source.names_in(value)}
        if given <= _ANY_USER and not _is_limited(node):
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
    why="Whoever knows the address may call it, without signing in.",
    fix="Ask for the caller (`CurrentUser`), or say in `[tool.bedplate.check]` that "
    'it is meant: `public = ["POST /signup"]`.',
)
def open_to_strangers(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        router = _router_of(source, decorator)
        asked = [keyword(made, "dependencies") for made in (decorator, router)]
        for parameter, default in function.parameters:
            asked += [parameter.annotation, default]
        is_asked = any(map(_CALLER.search, index.depends_on(source, asked)))
        operation = _operation(decorator, router)
        if not is_asked and not _is_public(operation, index.public):
            yield Place(function.node, f"`{function.node.name}` asks for no caller")


def _router_of(source: Source, decorator: ast.Call) -> ast.expr | None:
    """The call that made the router of a decorator."""
    assert isinstance(decorator.func, ast.Attribute)
    name = source.name(decorator.func.value)
    return next((v for n, v in assigned(source.tree.body) if n == name), None)


def _operation(decorator: ast.Call, router: ast.expr | None) -> str:
    """`GET /items/{id}`, as far as the router's own file tells."""
    assert isinstance(decorator.func, ast.Attribute)
    path = decorator.args[0] if decorator.args else keyword(decorator, "path")
    parts = [keyword(router, "prefix"), path]
    told = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
    return f"{decorator.func.attr.upper()} {told}"


def _is_public(operation: str, public: AbstractSet[str]) -> bool:
    """Whether an operation is meant for strangers, below whatever prefix it lands."""
    method, _, path = operation.partition(" ")
    meant = (name.partition(" ") for name in public)
    said = any(path and m == method and p.endswith(path) for m, _, p in meant)
    return said or bool(PUBLIC_PATH.search(path))


@rule(
    "no-response-model",
    Topic.VALIDATION,
    why="Whatever the function returns goes out, columns such as a password's hash "
    "too, and no client knows what to expect.",
    fix="Declare `response_model=…`, or the type that the function returns.",
)
def no_response_model(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        says_nothing = returns_anything(source, function)
        empty = "204" in ast.unparse(keyword(decorator, "status_code") or decorator)
        if says_nothing and keyword(decorator, "response_model") is None and not empty:
            yield Place(function.node, f"`{function.node.name}` answers with anything")


def returns_anything(source: Source, function: Function) -> bool:
    """Whether the type that a function returns, if any, says nothing."""
    returned = function.node.returns
    return returned is None or _is_free(source, returned)


@rule(
    "unbounded-input",
    Topic.VALIDATION,
    why="A caller may send megabytes, or ask for a million rows.",
    fix="Set a limit: `max_length`, `le`, or a type such as `UUID` or `Literal`.",
)
def unbounded_input(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, _ in _routes(source):
        for parameter, default in function.parameters:
            if source.name(parameter.annotation) in ("str", "int") and (
                default is None or isinstance(default, ast.Constant)
            ):
                what = f"`{parameter.arg}` of `{function.node.name}` has no limit"
                yield Place(parameter, what)


@rule(
    "bare-list",
    Topic.VALIDATION,
    why="A bare list has no place for a total or the next page, and grows with the "
    "table.",
    fix="Answer with an object: `items`, `total`, and what tells the next page.",
)
def bare_list(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function, decorator in _routes(source):
        answer = keyword(decorator, "response_model") or function.node.returns
        if isinstance(answer, ast.Subscript) and source.name(answer.value) in (
            "list",
            "typing.List",
        ):
            yield Place(
                function.node, f"`{function.node.name}` answers with a bare list"
            )

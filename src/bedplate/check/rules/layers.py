"""Fat models and fat routes: logic in places where it can't be tested or shared."""

import ast
from collections.abc import Iterator

from bedplate.check.findings import Topic
from bedplate.check.index import (
    ProjectIndex,
    last_part,
    looks_like_a_session,
    route_decorator,
)
from bedplate.check.project import Function, Source
from bedplate.check.rules import Place, rule

MAX_BRANCHES = 2
MAX_STATEMENTS = 12
QUERYING = {
    "add",
    "add_all",
    "commit",
    "delete",
    "exec",
    "execute",
    "flush",
    "get",
    "merge",
    "query",
    "refresh",
    "scalar",
    "scalars",
}
_NO_LOGIC = {
    "cached_property",
    "declared_attr",
    "hybrid_property",
    "property",
    "validates",
}
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match, ast.IfExp)
# The imports that each kind of file must not have, if the project has no contracts.
_FORBIDDEN = {
    "router": {"repository", "repositories"},
    "routes": {"repository", "repositories"},
    "endpoints": {"repository", "repositories"},
    "service": {"fastapi", "starlette", "router", "routes"},
    "services": {"fastapi", "starlette", "router", "routes"},
    "repository": {"fastapi", "starlette", "router", "routes", "service", "services"},
    "models": {"fastapi", "starlette", "router", "service", "services", "repository"},
    "schemas": {"router", "service", "services", "repository"},
}


@rule(
    "fat-model",
    Topic.FAT,
    why="A rule inside a model can't be tested without a row, and code that writes the "
    "row another way skips it.",
    fix="Move the method to a service. Leave columns and values that follow from them "
    "(`@property`) in the model.",
)
def fat_model(source: Source, index: ProjectIndex) -> Iterator[Place]:
    models = [m.node for m in index.models.values() if m.source is source]
    for function in source.functions:
        if function.owner in models and _has_logic(source, index, function):
            name = f"{function.owner.name}.{function.node.name}"
            yield Place(function.node, f"`{name}` holds logic in a model")


def _has_logic(source: Source, index: ProjectIndex, function: Function) -> bool:
    node = function.node
    kinds = {
        last_part(name) for d in node.decorator_list for name in source.names_in(d)
    }
    if node.name.startswith("__") or kinds & _NO_LOGIC or "expression" in kinds:
        return False
    return (
        function.is_async
        or bool(index.sessions_of(source, function))
        or any(map(_decides_or_changes, function.nodes))
        or any(_queries(source, call, set()) for call in function.calls)
    )


def _decides_or_changes(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute) for target in node.targets)
    if isinstance(node, ast.AugAssign):
        return isinstance(node.target, ast.Attribute)
    return isinstance(node, ast.Raise | ast.Await)


def _queries(source: Source, call: ast.Call, sessions: set[str]) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in QUERYING:
        return False
    receiver = call.func.value
    return source.name(receiver) in sessions or looks_like_a_session(source, receiver)


@rule(
    "query-in-route",
    Topic.FAT,
    why="Commands, jobs and other endpoints can't use a query inside an endpoint, and "
    "tests reach it only over HTTP.",
    fix="Move it to a repository, and call the repository from a service.",
)
def query_in_route(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if route_decorator(function) is None:
            continue
        sessions = index.sessions_of(source, function)
        for call in function.calls:
            if _queries(source, call, sessions):
                name = function.node.name
                yield Place(call, f"the endpoint `{name}` queries the database itself")
                break


@rule(
    "logic-in-route",
    Topic.FAT,
    why="Rules in an endpoint apply to this endpoint only: a job or a command must "
    "repeat them.",
    fix="Move them to one method of a service. An endpoint only reads the request, "
    "calls the service and returns the response.",
)
def logic_in_route(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if route_decorator(function) is None:
            continue
        branches = sum(isinstance(node, _BRANCHES) for node in function.nodes)
        statements = sum(isinstance(node, ast.stmt) for node in function.nodes)
        if branches > MAX_BRANCHES or statements > MAX_STATEMENTS:
            size = f"{statements} statements and {branches} branches"
            yield Place(
                function.node, f"the endpoint `{function.node.name}` has {size}"
            )


@rule(
    "layer-skipped",
    Topic.FAT,
    why="Layers import downwards: router, service, repository, models. An import that "
    "skips a layer bypasses its rules and leads to import cycles.",
    fix="Call the next layer, or move the shared code below both layers.",
)
def layer_skipped(source: Source, index: ProjectIndex) -> Iterator[Place]:
    forbidden = _FORBIDDEN.get(source.stem, set())
    for node in source.nodes:
        for module in _imported(node):
            if parts := forbidden & {*module.split(".")}:
                yield Place(node, f"a {source.stem} imports {parts.pop()}: `{module}`")


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if {alias.name for alias in node.names} <= {"Depends"}:
            return []  # a service may be created by FastAPI's dependencies
        return [node.module] if node.module else [alias.name for alias in node.names]
    return []


@rule(
    "scattered-commit",
    Topic.TRANSACTIONS,
    why="If a request commits half-way and fails later, half of its changes stay.",
    fix="Commit in one place, where the session is opened, once the request succeeded.",
)
def scattered_commit(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if not _is_inside_a_request(source, function):
            continue
        sessions = index.sessions_of(source, function)
        for call in function.calls:
            if source.name(call.func).endswith(".commit") and _queries(
                source, call, sessions
            ):
                yield Place(call, f"`{function.node.name}` commits itself")


def _is_inside_a_request(source: Source, function: Function) -> bool:
    owner = function.owner.name if function.owner else ""
    return (
        route_decorator(function) is not None
        or owner.endswith(("Service", "Repository"))
        or source.stem in ("crud", "repository", "service")
    )

"""Errors: whether callers get the right status and only what they may see."""

import ast
from collections.abc import Iterator
from functools import cache

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, last_part
from bedplate.check.project import Function, Source
from bedplate.check.rules import Place, rule

BARE = {"Exception", "KeyError", "LookupError", "ValueError"}
_REGISTERING = {"add_exception_handler", "exception_handler"}
_CAUSE = {"constraint_name", "diag", "orig", "sqlstate", "__cause__"}


@rule(
    "bare-error-in-service",
    Topic.ERRORS,
    why="No handler turns it into a response, so the API returns 500 for a mistake of "
    "the caller.",
    fix="Raise your own error class with a status and a code.",
)
def bare_error_in_service(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        owner = function.owner.name if function.owner else ""
        if not owner.endswith("Service") and source.stem not in ("service", "services"):
            continue
        for node in function.nodes:
            if isinstance(node, ast.Raise) and (name := _raised(node)) in BARE:
                yield Place(node, f"`{function.node.name}` raises {name}")


def _raised(node: ast.Raise) -> str:
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return error.id if isinstance(error, ast.Name) else ""


@rule(
    "any-integrity-error",
    Topic.ERRORS,
    why="A violated NOT NULL or foreign key is a bug, but is reported as a conflict "
    "too. The error's text holds the row's data and ends up in logs.",
    fix="Check the name of the violated constraint, and let unknown ones be a 500.",
)
def any_integrity_error(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if "IntegrityError" in _types_of(source, function) and not _checks_cause(
            function.nodes
        ):
            message = f"`{function.node.name}` handles every IntegrityError alike"
            yield Place(function.node, message)
        for node in function.nodes:
            if (
                isinstance(node, ast.ExceptHandler)
                and "IntegrityError"
                in {last_part(n) for n in source.names_in(node.type)}
                and not _checks_cause(list(ast.walk(node)))
                and not _only_passes_on(node)
            ):
                yield Place(node, "every IntegrityError is handled alike")


def _types_of(source: Source, function: Function) -> set[str]:
    return {
        last_part(name)
        for parameter, _ in function.parameters
        for name in source.names_in(parameter.annotation)
    }


def _checks_cause(nodes: list[ast.AST]) -> bool:
    """Return whether code checks an error's cause, itself or by a function."""
    words = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    calls = {ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call)}
    return bool(words & _CAUSE) or any("constraint" in call for call in calls)


def _only_passes_on(node: ast.ExceptHandler) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@rule(
    "echoed-input",
    Topic.ERRORS,
    why="Pydantic's `errors()` contains the invalid input, even a password, which then "
    "ends up in responses and logs.",
    fix="Use only `loc` and `msg` of each error.",
)
def echoed_input(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        if not _types_of(source, function) & {
            "RequestValidationError",
            "ValidationError",
        }:
            continue
        iterated = {
            node.iter
            for node in function.nodes
            if isinstance(node, ast.For | ast.comprehension)
        }
        for node in function.nodes:
            if _is_errors_call(node) and node not in iterated:
                yield Place(node, f"`{function.node.name}` passes on the invalid input")


def _is_errors_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "errors"
        and not any(k.arg == "include_input" for k in node.keywords)
    )


@rule(
    "two-error-shapes",
    Topic.ERRORS,
    why="Clients get errors in two formats: that of your handler, and FastAPI's "
    "`detail` from here and for unknown paths.",
    fix="Raise your own error, and register a handler for `HTTPException` too.",
)
def two_error_shapes(source: Source, index: ProjectIndex) -> Iterator[Place]:
    handled = _handled_in(index)
    if not handled - {"HTTPException", "RequestValidationError", "IntegrityError"}:
        return
    if "HTTPException" in handled:
        return
    for node in source.nodes:
        if isinstance(node, ast.Raise) and _raised(node) == "HTTPException":
            yield Place(
                node, "HTTPException next to an error class with its own handler"
            )


@cache
def _handled_in(index: ProjectIndex) -> set[str]:
    return {name for source in index.sources for name in _handled(source)}


def _handled(source: Source) -> Iterator[str]:
    """Yield the errors whose handler returns another format than FastAPI's `detail`.

    A handler is a function of a request and an error. `HTTPException` is included
    however its handler is registered.
    """
    if any(
        last_part(source.name(key)) == "HTTPException"
        for node in source.nodes
        for key in (*_registered(source, node), *_keys(node))
    ):
        yield "HTTPException"
    for function in source.functions:
        types = [
            {last_part(n) for n in source.names_in(parameter.annotation)}
            for parameter, _ in function.parameters
        ]
        if len(types) < 2 or "Request" not in types[0]:  # noqa: PLR2004
            continue
        if "'detail':" not in ast.unparse(function.node):
            yield from (
                name for name in types[1] if name.endswith(("Error", "Exception"))
            )


def _registered(source: Source, node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Call) and last_part(source.name(node.func)) in _REGISTERING:
        return node.args[:1]
    return []


def _keys(node: ast.AST) -> list[ast.expr]:
    """Return a dict's keys: it may map errors to handlers."""
    return [key for key in node.keys if key] if isinstance(node, ast.Dict) else []

"""Transactions: when changes are committed, and when a failure loses them."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, last_part, route_decorator
from bedplate.check.project import Function, Source
from bedplate.check.rules import Place, rule

_LOOKS_UP = re.compile(
    r"(^|_)(get|find|fetch|exists|first|lookup|one_or_none|scalar)(_|$)"
)
_CREATES = re.compile(
    r"^(\w*SessionLocal|(Async)?Session(Factory|Maker)?|(async_)?session_?(factory|maker))$"
)
_INSERTS = re.compile(r"^(add|create|insert|save|register)(_|$)")


@rule(
    "session-without-commit",
    Topic.TRANSACTIONS,
    why="The changes of a request are rolled back when the session closes, unless "
    "every endpoint remembers to commit.",
    fix="Yield it inside `with session.begin():`, which commits, and rolls back on an "
    "error.",
)
def session_without_commit(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        yields_session = _session_yielded(source, index, function)
        if yields_session and not _commits(function):
            message = f"`{function.node.name}` yields a session and never commits"
            yield Place(function.node, message)


def _session_yielded(source: Source, index: ProjectIndex, function: Function) -> bool:
    """Return whether a generator yields a session that it created."""
    if not any(isinstance(node, ast.Yield) and node.value for node in function.nodes):
        return False
    names = {last_part(source.name(call.func)) for call in function.calls}
    return bool(names & index.session_names) or any(map(_CREATES.match, names))


def _commits(function: Function) -> bool:
    methods = {c.func.attr for c in function.calls if isinstance(c.func, ast.Attribute)}
    return bool(methods & {"begin", "begin_nested", "commit"})


@rule(
    "late-commit",
    Topic.TRANSACTIONS,
    why="FastAPI finishes such a dependency after the response was sent: the client "
    "gets 201 for a row that the database then rejects.",
    fix='Declare it as `Depends(…, scope="function")`, in one alias for all endpoints.',
)
def late_commit(source: Source, index: ProjectIndex) -> Iterator[Place]:
    late = _late_dependencies(index)
    for call in source.nodes:
        if isinstance(call, ast.Call) and _depends_on(source, call) in late:
            name = _depends_on(source, call)
            yield Place(call, f"`{name}` commits after the response was sent")


@cache
def _late_dependencies(index: ProjectIndex) -> set[str]:
    """Return the dependencies that yield a session and commit when they finish."""
    return {
        function.node.name
        for source in index.sources
        for function in source.functions
        if _session_yielded(source, index, function) and _commits(function)
    }


def _depends_on(source: Source, call: ast.Call) -> str:
    """Return the name of a request-scoped dependency, or an empty text."""
    is_depends = source.name(call.func) in ("fastapi.Depends", "fastapi.params.Depends")
    if not is_depends or not call.args or any(k.arg == "scope" for k in call.keywords):
        return ""
    return last_part(source.name(call.args[0]))


@rule(
    "check-then-insert",
    Topic.TRANSACTIONS,
    why="Two simultaneous requests both find nothing and both insert: one of them gets "
    "a 500, or there are two rows.",
    fix="Insert, and turn the violation of the unique constraint into your error.",
)
def check_then_insert(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        looked_up = {
            target.id
            for node in function.nodes
            if isinstance(node, ast.Assign) and _looks_up(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in function.nodes:
            if (
                isinstance(node, ast.If)
                and isinstance(node.body[-1], ast.Raise)
                and _is_found(node.test, looked_up)
                and _inserts_after(function, node)
            ):
                yield Place(node, f"`{function.node.name}` checks first, then inserts")


def _looks_up(node: ast.AST) -> bool:
    """Return whether an expression queries for a row that may exist."""
    return any(
        _LOOKS_UP.search(call.func.attr)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    )


def _is_found(test: ast.expr, looked_up: set[str]) -> bool:
    """Return whether a test is true if a row exists: `if user`, `is not None`."""
    if isinstance(test, ast.Compare):
        if not isinstance(test.ops[0], ast.IsNot):
            return False
        test = test.left
    if isinstance(test, ast.Name):
        return test.id in looked_up
    return isinstance(test, ast.Call | ast.Await) and _looks_up(test)


def _inserts_after(function: Function, node: ast.If) -> bool:
    return any(
        call.lineno > node.lineno
        and isinstance(call.func, ast.Attribute)
        and _INSERTS.match(call.func.attr)
        for call in function.calls
    )


@rule(
    "background-task",
    Topic.TRANSACTIONS,
    why="The task is only in the memory of one process: a crash or a deployment loses "
    "it, and nothing reports that.",
    fix="Enqueue a job in the same transaction. A worker runs it and retries it.",
)
def background_task(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        tasks = {
            parameter.arg
            for parameter, _ in function.parameters
            if "BackgroundTasks"
            in map(last_part, source.names_in(parameter.annotation))
        }
        for call in function.calls:
            name = source.name(call.func)
            if name.endswith(".add_task") and name.split(".")[0] in tasks:
                yield Place(call, f"`{function.node.name}` uses BackgroundTasks")
        if route_decorator(function) is not None:
            yield from _unwatched_tasks(source, function)


def _unwatched_tasks(source: Source, function: Function) -> Iterator[Place]:
    for node in function.nodes:
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and source.name(node.value.func) == "asyncio.create_task"
        ):
            # asyncio holds only a weak reference, so the task may be collected midway.
            yield Place(node, f"`{function.node.name}` starts a task and drops it")

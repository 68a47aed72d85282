"""What is stored when, and what is lost when something fails in between."""

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
_MAKES = re.compile(
    r"^(\w*SessionLocal|(Async)?Session(Factory|Maker)?|(async_)?session_?(factory|maker))$"
)
_INSERTS = re.compile(r"^(add|create|insert|save|register)(_|$)")


@rule(
    "session-without-commit",
    Topic.TRANSACTIONS,
    why="What a request wrote is rolled back when the session closes, or lingers when "
    "somebody forgot to commit.",
    fix="Yield it inside `with session.begin():`, which commits, or rolls back on "
    "error.",
)
def session_without_commit(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        made = _session_yielded(source, index, function)
        if made and not _commits(function):
            what = f"`{function.node.name}` gives out a session and never commits"
            yield Place(function.node, what)


def _session_yielded(source: Source, index: ProjectIndex, function: Function) -> bool:
    """Whether a generator yields a session that it made."""
    if not any(isinstance(node, ast.Yield) and node.value for node in function.nodes):
        return False
    made = {last_part(source.name(call.func)) for call in function.calls}
    return bool(made & index.session_names) or any(map(_MAKES.match, made))


def _commits(function: Function) -> bool:
    methods = {c.func.attr for c in function.calls if isinstance(c.func, ast.Attribute)}
    return bool(methods & {"begin", "begin_nested", "commit"})


@rule(
    "late-commit",
    Topic.TRANSACTIONS,
    why="FastAPI ends such a dependency after the answer has left: the client reads "
    "201 for a row that the database then refuses.",
    fix='Ask for it by `Depends(…, scope="function")`, in one alias for all endpoints.',
)
def late_commit(source: Source, index: ProjectIndex) -> Iterator[Place]:
    late = _late_dependencies(index)
    for call in source.nodes:
        if isinstance(call, ast.Call) and _depends_on(source, call) in late:
            yield Place(call, f"`{_depends_on(source, call)}` commits after the answer")


@cache
def _late_dependencies(index: ProjectIndex) -> set[str]:
    """Functions that give out a session, and commit when they are ended."""
    return {
        function.node.name
        for source in index.sources
        for function in source.functions
        if _session_yielded(source, index, function) and _commits(function)
    }


def _depends_on(source: Source, call: ast.Call) -> str:
    """The name of a dependency that lives as long as the request."""
    is_depends = source.name(call.func) in ("fastapi.Depends", "fastapi.params.Depends")
    if not is_depends or not call.args or any(k.arg == "scope" for k in call.keywords):
        return ""
    return last_part(source.name(call.args[0]))


@rule(
    "check-then-insert",
    Topic.TRANSACTIONS,
    why="Two requests at once both find nothing and both insert: one of them gets a "
    "500, or there are two rows.",
    fix="Insert, and turn the violated unique constraint into your error.",
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
                yield Place(node, f"`{function.node.name}` looks first, then inserts")


def _looks_up(node: ast.AST) -> bool:
    """Whether an expression asks for a row that may be there."""
    return any(
        _LOOKS_UP.search(call.func.attr)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    )


def _is_found(test: ast.expr, looked_up: set[str]) -> bool:
    """Whether a test is true when a row is there: `if found`, `is not None`."""
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
    why="The task is in the memory of one process: a crash or a deployment loses it, "
    "and nobody is told.",
    fix="Enqueue a job in the same transaction, which a worker runs and repeats.",
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
                yield Place(
                    call, f"`{function.node.name}` leaves work to BackgroundTasks"
                )
        if route_decorator(function) is not None:
            yield from _tasks_let_go(source, function)


def _tasks_let_go(source: Source, function: Function) -> Iterator[Place]:
    for node in function.nodes:
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and source.name(node.value.func) == "asyncio.create_task"
        ):
            yield Place(node, f"`{function.node.name}` lets a task go unwatched")

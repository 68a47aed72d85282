"""N+1 queries, lazy loading and unordered pages."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from bedplate.check.findings import Topic
from bedplate.check.index import (
    ProjectIndex,
    assigned,
    called,
    is_lazy,
    keyword,
    looks_like_a_session,
)
from bedplate.check.project import Function, Source, own_nodes
from bedplate.check.rules import Place, rule

QUERYING = {"exec", "execute", "get_one", "query", "refresh", "scalar", "scalars"}
_READS = re.compile(r"^(get|find|fetch|load|list|count|read|select|query)(_|$)")
_IN_PARTS = re.compile(r"batch|chunk|range|retr|attempt", re.IGNORECASE)
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Loop = ast.For | ast.AsyncFor | Comprehension


@rule(
    "query-in-loop",
    Topic.N_PLUS_ONE,
    why="The database is queried once for each item: a list of a hundred costs a "
    "hundred round trips.",
    fix="Query once, with `in_(…)`, a join, `selectinload`, or one statement for all "
    "rows.",
)
def query_in_loop(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        sessions = index.sessions_of(source, function)
        repositories = _repositories(source, function)
        for loop in _loops(function):
            for call in _repeated_calls(loop):
                if _queries(source, call, sessions, repositories):
                    message = f"`{ast.unparse(call.func)}` is called for each item"
                    yield Place(call, message)


def _repositories(source: Source, function: Function) -> set[str]:
    """Return the names of parameters and variables that hold a repository."""
    parameters = {
        parameter.arg
        for parameter, _ in function.parameters
        if any("Repository" in name for name in source.names_in(parameter.annotation))
    }
    return parameters | _created_in(source, function.owner or function.node)


@cache
def _created_in(source: Source, scope: ast.AST) -> set[str]:
    return {
        source.name(node.targets[0])
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and source.name(node.value.func).endswith("Repository")
    }


def _loops(function: Function) -> Iterator[Loop]:
    for node in function.nodes:
        if isinstance(node, Loop) and not _is_short(function, node):
            yield node


def _is_short(function: Function, loop: Loop) -> bool:
    """Return whether a loop is over batches, attempts, or values fixed in the code."""
    over = _source_of(loop)
    statements = [node for node in function.nodes if isinstance(node, ast.stmt)]
    fixed = {
        name
        for name, value in assigned(statements)
        if isinstance(value, ast.Tuple | ast.List) and value.elts
    }
    is_literal = over.isupper() or over in fixed or over.startswith(("(", "["))
    return is_literal or bool(_IN_PARTS.search(over))


def _source_of(loop: Loop) -> str:
    """Return the source of the expression that a loop iterates over."""
    if isinstance(loop, ast.For | ast.AsyncFor):
        return ast.unparse(loop.iter)
    return " ".join(ast.unparse(part.iter) for part in loop.generators)


def _repeated_calls(loop: Loop) -> Iterator[ast.Call]:
    match loop:
        case ast.For() | ast.AsyncFor():
            parts: list[ast.AST] = [*loop.body]
        case ast.DictComp():
            parts = [loop.key, loop.value]
        case _:
            parts = [loop.elt]
    for part in parts:
        yield from (node for node in own_nodes(part) if isinstance(node, ast.Call))


def _queries(
    source: Source, call: ast.Call, sessions: set[str], repositories: set[str]
) -> bool:
    """Return whether a call queries the database.

    It is a method of a session or a repository, or gets a session as an argument.
    """
    if isinstance(call.func, ast.Attribute):
        receiver, method = call.func.value, call.func.attr
        name = source.name(receiver)
        if looks_like_a_session(source, receiver) or name in sessions:
            return method in QUERYING or (method == "get" and len(call.args) > 1)
        if name in repositories or re.search(r"repo(sitory)?$", name):
            return bool(_READS.match(method))
    name = called(source, call)
    return bool(_READS.match(name)) and any(
        source.name(argument) in sessions or looks_like_a_session(source, argument)
        for argument in [*call.args, *(k.value for k in call.keywords)]
        if isinstance(argument, ast.Name | ast.Attribute)
    )


@rule(
    "lazy-relationship",
    Topic.N_PLUS_ONE,
    why="It is loaded on first access: once for each row of a list, and under asyncio "
    "it fails with `MissingGreenlet`.",
    fix='Set `lazy="raise"` and load it where it is needed, with `selectinload` or a '
    "join.",
)
def lazy_relationship(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for model in index.models.values():
        if model.source is source:
            for name, call in model.relationships.items():
                if is_lazy(call) and name not in index.eager:
                    label = f"{model.node.name}.{name}"
                    yield Place(call, f"`{label}` is loaded lazily, a row at a time")


@rule(
    "lazy-load-in-loop",
    Topic.N_PLUS_ONE,
    why="The relationship is loaded again for each row: a list of a hundred costs a "
    "hundred and one queries.",
    fix="Add `.options(selectinload(…))`, or `joinedload`, to the query of this list.",
)
def lazy_load_in_loop(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        sessions = index.sessions_of(source, function)
        repositories = _repositories(source, function)
        queries = (_queries(source, c, sessions, repositories) for c in function.calls)
        if any(queries):
            lazy = index.lazy - _eagerly_loaded(source, function)
            for loop in _loops(function):
                yield from _lazy_accesses(source, lazy, loop)


def _eagerly_loaded(source: Source, function: Function) -> set[str]:
    """Return the relationships that a function's queries load with an option."""
    return {
        node.attr
        for call in function.calls
        if called(source, call).endswith("load")
        for node in ast.walk(call)
        if isinstance(node, ast.Attribute)
    }


def _lazy_accesses(source: Source, lazy: set[str], loop: Loop) -> Iterator[Place]:
    items = {name for target in _targets(loop) for name in source.names_in(target)}
    for node in own_nodes(loop):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in lazy
            and source.name(node.value) in items
        ):
            yield Place(node, f"`{ast.unparse(node)}` is loaded for each item")


def _targets(loop: Loop) -> list[ast.expr]:
    if isinstance(loop, ast.For | ast.AsyncFor):
        return [loop.target]
    return [part.target for part in loop.generators]


@rule(
    "unordered-page",
    Topic.DATABASE,
    why="Without an order the database may return rows in any order, so pages repeat "
    "some rows and skip others.",
    fix="Add an `.order_by(…)` that ends in a unique column.",
)
def unordered_page(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for function in source.functions:
        methods = {
            call.func.attr
            for call in function.calls
            if isinstance(call.func, ast.Attribute)
        }
        if "offset" in methods and "order_by" not in methods:
            call = next(
                call
                for call in function.calls
                if isinstance(call.func, ast.Attribute) and call.func.attr == "offset"
            )
            yield Place(call, f"`{function.node.name}` pages through unordered rows")


@rule(
    "rows-loaded-to-delete",
    Topic.DATABASE,
    why="Deleting the parent loads every child first, and deletes each with its own "
    "statement.",
    fix='Set `ondelete="CASCADE"` on the foreign key and `passive_deletes=True` here.',
)
def rows_loaded_to_delete(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for model in index.models.values():
        if model.source is source:
            for name, call in model.relationships.items():
                cascade = keyword(call, "cascade")
                if (
                    isinstance(cascade, ast.Constant)
                    and "delete" in str(cascade.value)
                    and keyword(call, "passive_deletes") is None
                ):
                    label = f"{model.node.name}.{name}"
                    yield Place(call, f"`{label}` is loaded when a row is deleted")

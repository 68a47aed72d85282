"""Engines, tables and times."""

import ast
from collections.abc import Iterator

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, assigned, is_true, keyword, last_part
from bedplate.check.project import Source
from bedplate.check.rules import Place, rule

ENGINES = {"create_async_engine", "create_engine"}


@rule(
    "engine-at-import",
    Topic.DATABASE,
    why="Whoever imports the module, a test too, is connected to the database that "
    "was configured there and then.",
    fix="Make the engine in a function that takes the settings, called at start-up.",
)
def engine_at_import(source: Source, index: ProjectIndex) -> Iterator[Place]:
    later = {node for function in source.functions for node in function.nodes}
    for call in source.nodes:
        if isinstance(call, ast.Call) and call not in later:
            name = last_part(source.name(call.func))
            if name in ENGINES:
                yield Place(call, f"`{name}` is called when the module is imported")


@rule(
    "sql-logged",
    Topic.DATABASE,
    why="Every statement is logged with its values: passwords' hashes and personal "
    "data end up in the logs.",
    fix="Leave `echo` out; make it a setting that is off, for a developer's machine.",
)
def sql_logged(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for call in source.nodes:
        if (
            isinstance(call, ast.Call)
            and last_part(source.name(call.func)) in ENGINES
            and is_true(keyword(call, "echo"))
        ):
            yield Place(call, "`echo=True` logs every statement")


@rule(
    "create-all",
    Topic.DATABASE,
    why="The tables aren't those that migrations make: what is tested, or started "
    "with, differs from what is deployed.",
    fix="Bring the schema to head by migrations (`alembic upgrade head`), in tests, "
    "too.",
    kinds=("code", "test"),
)
def create_all(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in source.nodes:
        if source.name(node).endswith("metadata.create_all"):
            yield Place(node, "`create_all` makes tables that no migration made")


@rule(
    "database-in-folder",
    Topic.DATABASE,
    why="The file stays in the working folder: the next run meets the rows of the "
    "last.",
    fix="Use a throw-away database, such as a file in pytest's `tmp_path`.",
    kinds=("test",),
)
def database_in_folder(source: Source, index: ProjectIndex) -> Iterator[Place]:
    given = [value for _, value in assigned(source.tree.body)]
    for call in source.nodes:
        if isinstance(call, ast.Call) and last_part(source.name(call.func)) in ENGINES:
            given += call.args
    for node in given:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            scheme, _, path = node.value.partition(":///")
            is_a_path = path and not path.startswith(("/", ":memory:"))
            if scheme.startswith("sqlite") and is_a_path:
                yield Place(node, f"the tests' database is the file {path}")


@rule(
    "naive-time",
    Topic.TIME,
    why="An instant without a time zone compares wrongly with one that has it, and "
    "`utcnow` is deprecated.",
    fix="Use `datetime.now(UTC)` and `DateTime(timezone=True)`.",
)
def naive_time(source: Source, index: ProjectIndex) -> Iterator[Place]:
    called = {node.func for node in source.nodes if isinstance(node, ast.Call)}
    for node in source.nodes:
        is_utcnow = source.name(node) == "datetime.datetime.utcnow"
        if is_utcnow and node not in called:  # a call of it is ruff's to find
            yield Place(node, "`datetime.utcnow` knows no time zone")
        elif isinstance(node, ast.Call) and node.args:
            name = last_part(source.name(node.func))
            if name in ("Column", "mapped_column") and _is_naive(source, node):
                yield Place(node, "the column keeps instants without a time zone")


def _is_naive(source: Source, column: ast.Call) -> bool:
    for argument in column.args:
        is_called = isinstance(argument, ast.Call)
        kind = argument.func if isinstance(argument, ast.Call) else argument
        if source.name(kind) in ("sqlalchemy.DateTime", "sqlalchemy.types.DateTime"):
            return not (is_called and is_true(keyword(argument, "timezone")))
    return False

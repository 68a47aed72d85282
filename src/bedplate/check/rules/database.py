"""Database rules: engines, tables, test databases and times."""

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
    why="Everything that imports the module, tests too, uses the database that is "
    "configured at that moment.",
    fix="Create the engine in a function that takes the settings and runs at start-up.",
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
    why="Every statement is logged with its values: password hashes and personal data "
    "end up in the logs.",
    fix="Remove `echo`, or make it a setting for development that is off by default.",
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
    why="The tables may differ from those that the migrations create, so tests run on "
    "another schema than production.",
    fix="Create the schema with migrations (`alembic upgrade head`), in tests too.",
    kinds=("code", "test"),
)
def create_all(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in source.nodes:
        if source.name(node).endswith("metadata.create_all"):
            yield Place(node, "`create_all` creates tables without migrations")


@rule(
    "database-in-folder",
    Topic.DATABASE,
    why="The file stays in the working folder, so the next run finds the rows of the "
    "previous one.",
    fix="Use a temporary database, such as a file in pytest's `tmp_path`.",
    kinds=("test",),
)
def database_in_folder(source: Source, index: ProjectIndex) -> Iterator[Place]:
    values = [value for _, value in assigned(source.tree.body)]
    for call in source.nodes:
        if isinstance(call, ast.Call) and last_part(source.name(call.func)) in ENGINES:
            values += call.args
    for node in values:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            scheme, _, path = node.value.partition(":///")
            is_a_path = path and not path.startswith(("/", ":memory:"))
            if scheme.startswith("sqlite") and is_a_path:
                yield Place(node, f"the tests' database is the file {path}")


@rule(
    "naive-time",
    Topic.TIME,
    why="A time without a time zone can't be compared with one that has it, and "
    "`utcnow` is deprecated.",
    fix="Use `datetime.now(UTC)` and `DateTime(timezone=True)`.",
)
def naive_time(source: Source, index: ProjectIndex) -> Iterator[Place]:
    called = {node.func for node in source.nodes if isinstance(node, ast.Call)}
    for node in source.nodes:
        is_utcnow = source.name(node) == "datetime.datetime.utcnow"
        if is_utcnow and node not in called:  # ruff reports its calls
            yield Place(node, "`datetime.utcnow` returns a time without a time zone")
        elif isinstance(node, ast.Call) and node.args:
            name = last_part(source.name(node.func))
            if name in ("Column", "mapped_column") and _is_naive(source, node):
                yield Place(node, "the column stores times without a time zone")


def _is_naive(source: Source, column: ast.Call) -> bool:
    for argument in column.args:
        is_called = isinstance(argument, ast.Call)
        kind = argument.func if isinstance(argument, ast.Call) else argument
        if source.name(kind) in ("sqlalchemy.DateTime", "sqlalchemy.types.DateTime"):
            return not (is_called and is_true(keyword(argument, "timezone")))
    return False

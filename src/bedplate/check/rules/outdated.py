"""Outdated names and broken imports."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, assigned
from bedplate.check.project import Source
from bedplate.check.rules import Place, rule

_NOW = {
    "pydantic.root_validator": "model_validator",
    "pydantic.validator": "field_validator",
}


@rule(
    "pydantic-v1",
    Topic.OUTDATED,
    why="Pydantic 2 accepts the old names with a warning, and version 3 removes them.",
    fix="Use `field_validator`, `model_validator` and `model_config = ConfigDict(…)`.",
)
def pydantic_v1(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                call = decorator.func if isinstance(decorator, ast.Call) else decorator
                if (name := source.name(call)) in _NOW:
                    old = name.rpartition(".")[2]
                    yield Place(decorator, f"`@{old}` was renamed to `@{_NOW[name]}`")
    for owner in source.classes:
        if _is_a_table_of(owner):
            continue
        for inner in owner.body:
            if (
                isinstance(inner, ast.ClassDef)
                and inner.name == "Config"
                and owner.bases
            ):
                yield Place(inner, f"`{owner.name}` has a `class Config`")


def _is_a_table_of(owner: ast.ClassDef) -> bool:
    return "__tablename__" in {name for name, _ in assigned(owner.body)}


@rule(
    "wrong-relative-import",
    Topic.OUTDATED,
    why="The dots lead to a folder without this module, so importing the file fails.",
    fix="Import from the package's root: `from shop.dependencies import …`.",
)
def wrong_relative_import(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            right = _right_levels(source, node.module, index)
            if right and node.level not in right:
                wrong = "." * node.level + node.module
                correct = "." * right[0] + node.module
                yield Place(node, f"`{wrong}` doesn't exist, `{correct}` does")


def _right_levels(source: Source, module: str, index: ProjectIndex) -> list[int]:
    """Return the numbers of dots that lead from a file to a module of the project."""
    folders = PurePosixPath(source.path).parents
    return [
        level
        for level, folder in enumerate(folders, start=1)
        if f"{folder / module.replace('.', '/')}" in index.modules
    ]

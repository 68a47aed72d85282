"""Finds a project's uses of deprecated names and settings."""

import ast
import re
from collections.abc import Iterator, Sequence

from bedplate.check.project import Project, Source
from bedplate.deprecations import Deprecation


def find_deprecated(
    project: Project, entries: Sequence[Deprecation]
) -> Iterator[tuple[str, Deprecation]]:
    """Yield `file:line` of each use of a deprecated name or setting."""
    for source in project.sources:
        for node in source.nodes:
            for entry in entries:
                if entry.old in _names(source, node):
                    yield f"{source.path}:{getattr(node, 'lineno', 1)}", entry
    for path in [*project.files, ".env"]:
        for number, line in enumerate(_lines(project, path), start=1):
            for entry in entries:
                if re.search(rf"\b{re.escape(entry.old)}\b", line) and entry.is_setting:
                    yield f"{path}:{number}", entry


def _names(source: Source, node: ast.AST) -> set[str]:
    """Return the dotted names that a node imports or reads."""
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return {source.name(node)} if isinstance(node, ast.Attribute) else set()


def _lines(project: Project, path: str) -> list[str]:
    try:
        return project.text(path).splitlines()
    except (OSError, UnicodeDecodeError):
        return []

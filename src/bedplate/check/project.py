"""The checked project: its files, their syntax trees and its settings."""

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["code", "test", "migration"]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules", "site-packages"}
_IGNORE = re.compile(r"#\s*bedplate:\s*ignore\[([\w\-, :]+)\]")
_MAX_BYTES = 1_000_000
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class CheckError(Exception):
    """The check can't run; the text gives the cause."""


class CheckSettings(BaseModel):
    """The table `[tool.bedplate.check]` of a project's `pyproject.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exclude: list[str] = Field(default=[])
    """Folders, files and patterns that aren't read."""
    ignore: list[str] = Field(default=[])
    """Rules that are left out."""
    public: list[str] = Field(default=[])
    """Operations that are public on purpose, such as `POST /signup`."""
    without: list[str] = Field(default=[])
    """Tools that aren't run."""


@dataclass(frozen=True)
class Function:
    """A function, and the class that defines it, if any."""

    node: FunctionNode
    owner: ast.ClassDef | None = None

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """The nodes that run when it is called: no decorators, no inner functions."""
        return [node for part in self.node.body for node in own_nodes(part)]

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]

    @cached_property
    def parameters(self) -> list[tuple[ast.arg, ast.expr | None]]:
        """Each parameter with its default."""
        arguments = self.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        missing = [None] * (len(positional) - len(arguments.defaults))
        defaults = [*missing, *arguments.defaults]
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        return [*zip(positional, defaults, strict=True), *keywords]


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and its descendants, but not the bodies of functions and classes."""
    yield node
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from own_nodes(child)


class Source:
    """One Python file."""

    def __init__(self, path: str, text: str, kind: Kind) -> None:
        self.path = path
        self.kind = kind
        self.lines = text.splitlines()
        self.tree = ast.parse(text)

    @property
    def stem(self) -> str:
        return self.path.rpartition("/")[2].removesuffix(".py")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> list[Function]:
        owners = {
            child: owner
            for owner in self.classes
            for child in ast.iter_child_nodes(owner)
        }
        return [
            Function(node, owners.get(node))
            for node in self.nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def imports(self) -> dict[str, str]:
        """The dotted name of each imported name, such as `sqlalchemy.orm.Session`."""
        dotted = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    dotted[alias.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    dotted[alias.asname or alias.name] = f"{module}.{alias.name}"
        return dotted

    def name(self, node: ast.AST | None) -> str:
        """Return the dotted name of an expression, or an empty text if it isn't a name.

        Imports are resolved: `sa.select` becomes `sqlalchemy.select`, `self.db.execute`
        stays as it is.
        """
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (base := self.name(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def names_in(self, node: ast.AST | None) -> set[str]:
        """Return all dotted names in an expression, with those of quoted types."""
        names = set()
        for part in ast.walk(node) if node else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                names.add(self.imports.get(part.value, part.value))
            names.add(self.name(part))
        return names - {""}

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def ignores(self, number: int) -> set[str]:
        """Return the rules that the line, or a comment above it, excludes."""
        above = self.line(number - 1)
        lines = [self.line(number), above if above.strip().startswith("#") else ""]
        return {
            name.strip()
            for line in lines
            if (match := _IGNORE.search(line))
            for name in match[1].split(",")
        }


class Project:
    """A folder with a FastAPI application in it, or a part of one."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise CheckError(f"{root} is not a folder")
        self.root = root.resolve()
        self.tools = self._read_tools()
        bedplate = self.tools.get("bedplate", {})
        self.app: str | None = bedplate.get("app")
        """The application, as `package.module:app`."""
        self.settings = _check_settings(bedplate.get("check", {}))
        self.unreadable: list[str] = []

    def _read_tools(self) -> dict[str, Any]:
        """Return the table `[tool]` of its pyproject.toml."""
        path = self.root / "pyproject.toml"
        if not path.is_file():
            return {}
        try:
            tools: dict[str, Any] = tomllib.loads(path.read_text("utf-8")).get(
                "tool", {}
            )
        except ValueError as error:
            raise CheckError(f"pyproject.toml can't be read: {error}") from error
        return tools

    @cached_property
    def files(self) -> list[str]:
        """The project's files: those that git doesn't ignore, or all without git."""
        paths = self._tracked_files() or self._walked_files()
        return sorted(path for path in paths if not self._is_excluded(path))

    def _tracked_files(self) -> list[str]:
        command = [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            return []
        return [p for p in done.stdout.split("\0") if p and (self.root / p).is_file()]

    def _walked_files(self) -> Iterator[str]:
        for folder, inner, names in os.walk(self.root):
            inner[:] = [
                name
                for name in inner
                if not name.startswith(".")
                and name not in SKIPPED_FOLDERS
                and not (Path(folder) / name / "pyvenv.cfg").exists()
            ]
            for name in names:
                # Secrets belong in .env, so it is checked only if git tracks it.
                if name != ".env":
                    yield (Path(folder) / name).relative_to(self.root).as_posix()

    def _is_excluded(self, path: str) -> bool:
        return any(
            fnmatch(path, pattern) or path.startswith(f"{pattern.rstrip('/')}/")
            for pattern in self.settings.exclude
        )

    @cached_property
    def sources(self) -> list[Source]:
        """Its Python files. Those that can't be parsed are listed in `unreadable`."""
        return list(self._read_sources())

    def _read_sources(self) -> Iterator[Source]:
        for path in self.files:
            if not path.endswith(".py"):
                continue
            try:
                text = self.text(path)
                yield Source(path, text, kind_of(path))
            except (SyntaxError, ValueError, OSError) as error:
                self.unreadable.append(f"{path}: {error}")

    @cached_property
    def by_path(self) -> dict[str, Source]:
        return {source.path: source for source in self.sources}

    @cached_property
    def classes(self) -> dict[str, tuple[Source, ast.ClassDef]]:
        """The classes of its code, without those of tests and migrations, by name."""
        return {
            node.name: (source, node) for source in self.code for node in source.classes
        }

    @property
    def code(self) -> list[Source]:
        return [source for source in self.sources if source.kind == "code"]

    def text(self, path: str) -> str:
        """Return a file's text, at most its first million characters.

        Raises:
            OSError, UnicodeDecodeError
        """
        with (self.root / path).open(encoding="utf-8") as file:
            return file.read(_MAX_BYTES)

    def relative(self, path: str | Path) -> str | None:
        """Return a path of a tool's output relative to the root; None if outside it."""
        absolute = (self.root / path).resolve()
        if not absolute.is_relative_to(self.root):
            return None
        return absolute.relative_to(self.root).as_posix()


def _check_settings(table: dict[str, Any]) -> CheckSettings:
    try:
        return CheckSettings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        table_name = "[tool.bedplate.check] in pyproject.toml"
        raise CheckError(f"{table_name}: {setting}: {first['msg']}") from error


def kind_of(path: str) -> Kind:
    *folders, name = path.split("/")
    if "versions" in folders or "migrations" in folders:
        return "migration"
    if {"tests", "test"} & {*folders} or name.startswith(("test_", "conftest")):
        return "test"
    return "code"


def paths_of(sources: Sequence[Source]) -> list[str]:
    return [source.path for source in sources]

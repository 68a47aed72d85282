"""A project as the rules see it: its files, their syntax trees and its settings."""

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
    """The check can't be done as asked; the text says why."""


class CheckSettings(BaseModel):
    """`[tool.bedplate.check]` in a project's `pyproject.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exclude: list[str] = Field(default=[])
    """Folders, files and patterns that aren't read."""
    ignore: list[str] = Field(default=[])
    """Rules that are left out."""
    public: list[str] = Field(default=[])
    """Operations that are meant for strangers: `POST /signup`."""
    without: list[str] = Field(default=[])
    """Tools that aren't run."""


@dataclass(frozen=True)
class Function:
    """A function, and the class that it stands in, if any."""

    node: FunctionNode
    owner: ast.ClassDef | None = None

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """What runs when it is called: not its decorators, nor functions inside it."""
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
    """A node and what is in it, but not what functions and classes in it do."""
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
        """What an imported name stands for: `Session` for `sqlalchemy.orm.Session`."""
        found = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{module}.{alias.name}"
        return found

    def name(self, node: ast.AST | None) -> str:
        """The dotted name of an expression, its imports resolved; empty if it is none.

        `self.db.execute` stays as it is, `sa.select` becomes `sqlalchemy.select`.
        """
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (base := self.name(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def names_in(self, node: ast.AST | None) -> set[str]:
        """The dotted names of everything in an expression, quoted types included."""
        found = set()
        for part in ast.walk(node) if node else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.add(self.imports.get(part.value, part.value))
            found.add(self.name(part))
        return found - {""}

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def ignores(self, number: int) -> set[str]:
        """The rules that the line, or a comment over it, asks to leave out."""
        above = self.line(number - 1)
        said = [self.line(number), above if above.strip().startswith("#") else ""]
        return {
            name.strip()
            for line in said
            if (match := _IGNORE.search(line))
            for name in match[1].split(",")
        }


class Project:
    """A folder with a FastAPI application in it, or a part of one."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise CheckError(f"{root} is no folder")
        self.root = root.resolve()
        self.tools = self._read_tools()
        bedplate = self.tools.get("bedplate", {})
        self.app: str | None = bedplate.get("app")
        """The application, as `package.module:app`."""
        self.settings = _check_settings(bedplate.get("check", {}))
        self.unreadable: list[str] = []

    def _read_tools(self) -> dict[str, Any]:
        """`[tool]` of its pyproject.toml."""
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
        """Every file of the project: what git knows of, or what is in the folder."""
        listed = self._tracked_files() or self._walked_files()
        return sorted(path for path in listed if not self._is_excluded(path))

    def _tracked_files(self) -> list[str]:
        listing = [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        try:
            done = subprocess.run(
                listing,
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
                # A secret's place, as long as it isn't tracked.
                if name != ".env":
                    yield (Path(folder) / name).relative_to(self.root).as_posix()

    def _is_excluded(self, path: str) -> bool:
        return any(
            fnmatch(path, pattern) or path.startswith(f"{pattern.rstrip('/')}/")
            for pattern in self.settings.exclude
        )

    @cached_property
    def sources(self) -> list[Source]:
        """Its Python files; what can't be parsed is in `unreadable`."""
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
        """The classes of its code, by name."""
        return {
            node.name: (source, node) for source in self.code for node in source.classes
        }

    @property
    def code(self) -> list[Source]:
        return [source for source in self.sources if source.kind == "code"]

    def text(self, path: str) -> str:
        """A file's text, or what of it is worth reading.

        Raises:
            OSError, UnicodeDecodeError
        """
        with (self.root / path).open(encoding="utf-8") as file:
            return file.read(_MAX_BYTES)

    def relative(self, path: str | Path) -> str | None:
        """A path of a tool's, below the root; None if it isn't below it."""
        absolute = (self.root / path).resolve()
        if not absolute.is_relative_to(self.root):
            return None
        return absolute.relative_to(self.root).as_posix()


def _check_settings(table: dict[str, Any]) -> CheckSettings:
    try:
        return CheckSettings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"[tool.bedplate.check] in pyproject.toml: {where}: {first['msg']}"
        raise CheckError(what) from error


def kind_of(path: str) -> Kind:
    *folders, name = path.split("/")
    if "versions" in folders or "migrations" in folders:
        return "migration"
    if {"tests", "test"} & {*folders} or name.startswith(("test_", "conftest")):
        return "test"
    return "code"


def paths_of(sources: Sequence[Source]) -> list[str]:
    return [source.path for source in sources]

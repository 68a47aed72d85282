"""The project's application: where it is, and the OpenAPI document that it makes."""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bedplate.check.document import Document
from bedplate.check.index import assigned, last_part
from bedplate.check.project import Project, Source

FACTORIES = {
    "create_app",
    "create_application",
    "get_app",
    "get_application",
    "make_app",
}
_USUAL_FILES = ("asgi", "main", "app", "application", "api", "server")
_SECONDS = 60


@dataclass(frozen=True)
class Application:
    """What the project's application says of itself."""

    name: str
    document: Document
    endpoints: dict[str, tuple[str, int]]
    """The file and first line of each operation's function."""


class ApplicationError(Exception):
    """The application can't be had; the text says why."""


def load_application(project: Project, name: str | None) -> Application | None:
    """The application that is asked for, or the first that is found; None if none is.

    It is imported in a process of its own, so that nothing of it stays here.

    Raises:
        ApplicationError: it can't be imported, or isn't one.
    """
    refusal = None
    for folder, import_name in _asked_for(project, name) if name else _found(project):
        try:
            return _described(project, folder, import_name)
        except ApplicationError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return None


def _asked_for(project: Project, name: str) -> Iterator[tuple[Path, str]]:
    """The folders that imports may begin in."""
    for folder in (project.root / "src", project.root):
        if folder.is_dir():
            yield folder, name if ":" in name else f"{name}:app"


def _found(project: Project) -> Iterator[tuple[Path, str]]:
    """Every application of the project with every way to import it, likeliest first."""
    for source, attribute in sorted(_makers(project), key=_likeliness):
        parts = PurePosixPath(source.path).with_suffix("").parts
        first = _package_depth(project, source.path)
        for start in (first, *(n for n in range(len(parts)) if n != first)):
            folder = project.root.joinpath(*parts[:start])
            yield folder, f"{'.'.join(parts[start:])}:{attribute}"


def _package_depth(project: Project, path: str) -> int:
    """How many of a path's folders aren't part of its package."""
    folders = PurePosixPath(path).parts[:-1]
    for depth in range(len(folders), 0, -1):
        if "/".join((*folders[:depth], "__init__.py")) not in project.by_path:
            return depth
    return 0


def _makers(project: Project) -> Iterator[tuple[Source, str]]:
    for source in project.code:
        for name, value in assigned(source.tree.body):
            if isinstance(value, ast.Call):
                made_by = last_part(source.name(value.func))
                if made_by == "FastAPI" or made_by in FACTORIES:
                    yield source, name
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in FACTORIES:
                yield source, node.name


def _likeliness(found: tuple[Source, str]) -> tuple[bool, int, int, str]:
    source, attribute = found
    usual = source.stem in _USUAL_FILES
    place = _USUAL_FILES.index(source.stem) if usual else len(_USUAL_FILES)
    return attribute in FACTORIES, place, source.path.count("/"), source.path


def _described(project: Project, folder: Path, import_name: str) -> Application:
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        arguments = [str(folder), str(project.root), import_name, str(answer)]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "bedplate.check.describe", *arguments],
                cwd=project.root,
                # One of ours keeps what it makes out of the project's folder.
                env={"BEDPLATE_DATA_DIR": scratch, **os.environ},
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            seconds = f"it wasn't imported within {_SECONDS} s"
            raise ApplicationError(f"{import_name}: {seconds}") from error
        if not answer.exists():
            raise ApplicationError(f"{import_name}: {_last_line(done.stderr)}")
        told = json.loads(answer.read_text("utf-8"))
    endpoints = {name: (file, line) for name, (file, line) in told["endpoints"].items()}
    return Application(import_name, told["document"], endpoints)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it ended without an answer"

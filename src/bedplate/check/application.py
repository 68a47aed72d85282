"""Finds the project's application and reads its OpenAPI document."""

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
    """The project's application, with its OpenAPI document."""

    name: str
    document: Document
    endpoints: dict[str, tuple[str, int]]
    """The file and first line of each operation's function."""


class ApplicationError(Exception):
    """The application can't be imported; the text gives the cause."""


def load_application(project: Project, name: str | None) -> Application | None:
    """Load the named application, or the first one found. None if there is none.

    It is imported in a separate process, so that it can't affect this one.

    Raises:
        ApplicationError: it can't be imported, or isn't a FastAPI application.
    """
    first_error = None
    candidates = _by_name(project, name) if name else _search(project)
    for folder, import_name in candidates:
        try:
            return _load(project, folder, import_name)
        except ApplicationError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return None


def _by_name(project: Project, name: str) -> Iterator[tuple[Path, str]]:
    """Yield each folder from which the name may be importable, with the name."""
    for folder in (project.root / "src", project.root):
        if folder.is_dir():
            yield folder, name if ":" in name else f"{name}:app"


def _search(project: Project) -> Iterator[tuple[Path, str]]:
    """Yield each possible application and each way to import it, likeliest first."""
    for source, attribute in sorted(_makers(project), key=_likeliness):
        parts = PurePosixPath(source.path).with_suffix("").parts
        first = _package_depth(project, source.path)
        for start in (first, *(n for n in range(len(parts)) if n != first)):
            folder = project.root.joinpath(*parts[:start])
            yield folder, f"{'.'.join(parts[start:])}:{attribute}"


def _package_depth(project: Project, path: str) -> int:
    """Return how many of a path's folders are above its package."""
    folders = PurePosixPath(path).parts[:-1]
    for depth in range(len(folders), 0, -1):
        if "/".join((*folders[:depth], "__init__.py")) not in project.by_path:
            return depth
    return 0


def _makers(project: Project) -> Iterator[tuple[Source, str]]:
    for source in project.code:
        for name, value in assigned(source.tree.body):
            if isinstance(value, ast.Call):
                function = last_part(source.name(value.func))
                if function == "FastAPI" or function in FACTORIES:
                    yield source, name
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in FACTORIES:
                yield source, node.name


def _likeliness(candidate: tuple[Source, str]) -> tuple[bool, int, int, str]:
    source, attribute = candidate
    usual = source.stem in _USUAL_FILES
    place = _USUAL_FILES.index(source.stem) if usual else len(_USUAL_FILES)
    return attribute in FACTORIES, place, source.path.count("/"), source.path


def _load(project: Project, folder: Path, import_name: str) -> Application:
    with tempfile.TemporaryDirectory() as scratch:
        # A file, not standard output: the application may print while it is imported.
        result = Path(scratch, "result.json")
        arguments = [str(folder), str(project.root), import_name, str(result)]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "bedplate.check.describe", *arguments],
                cwd=project.root,
                # A Bedplate application writes its key and database to this folder
                # and not to the project's.
                env={"BEDPLATE_DATA_DIR": scratch, **os.environ},
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            cause = f"the import took longer than {_SECONDS} s"
            raise ApplicationError(f"{import_name}: {cause}") from error
        if not result.exists():
            raise ApplicationError(f"{import_name}: {_last_line(done.stderr)}")
        described = json.loads(result.read_text("utf-8"))
    places = described["endpoints"].items()
    endpoints = {name: (file, line) for name, (file, line) in places}
    return Application(import_name, described["document"], endpoints)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "the import ended without an error message"

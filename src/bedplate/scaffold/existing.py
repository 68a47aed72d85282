"""The existing project to which a module or a migration is added."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

from alembic.script import ScriptDirectory
from alembic.util import coerce_resource_to_filename

from bedplate.loader import ProjectError, app_name
from bedplate.migrate import alembic_config
from bedplate.module import Module, migrations_of
from bedplate.scaffold.plan import ScaffoldError

MODULES_FILE = "modules/__init__.py"


class Revision(NamedTuple):
    """The next revision of a project's branch."""

    id: str
    down: str | None
    file: str


@dataclass(frozen=True)
class ExistingProject:
    """The project in a folder, as `bedplate new` created it."""

    folder: Path
    package: str

    @classmethod
    def find(cls, folder: Path) -> "ExistingProject":
        """Return the project whose pyproject.toml is in this folder.

        Raises:
            ProjectError: the folder has none, or it names no application.
        """
        name = app_name(folder)
        if name is None:
            raise ProjectError(
                "this folder holds no project: expected `app` in [tool.bedplate] of "
                f"{folder.resolve() / 'pyproject.toml'}. `bedplate new` creates one"
            )
        return cls(folder, name.partition(":")[0].partition(".")[0])

    @property
    def source(self) -> str:
        """The path of its package, relative to the folder."""
        in_src = self.folder / "src" / self.package
        return f"src/{self.package}" if in_src.is_dir() else self.package

    def migrations(self, modules: Sequence[Module]) -> str:
        """Return the folder with the migrations of its own tables.

        Raises:
            ScaffoldError: there are several.
        """
        folders = [f for f in migrations_of(modules) if not f.startswith("bedplate:")]
        if len(folders) > 1:
            raise ScaffoldError(f"expected one folder of migrations, found {folders}")
        return folders[0] if folders else f"{self.package}:migrations"

    def registered(self, module: str) -> str:
        """Return the text of the file that lists its modules, with one more module.

        Raises:
            ScaffoldError: the file has no list of modules as `bedplate new` writes it.
        """
        path = self.folder / self.source / MODULES_FILE
        expected = f"{path}: expected `MODULES = (…)`, a tuple of modules"
        if not path.exists():
            raise ScaffoldError(expected)
        text = path.read_text()
        end = _end_of_modules(text)
        if end is None:
            raise ScaffoldError(expected)
        line = f"from {self.package}.modules.{module} import module as {module}\n"
        extended = f"{text[:end].rstrip().rstrip(',')}, {module}{text[end:]}"
        return _insert_after_imports(extended, line)

    def next_revision(self, modules: Sequence[Module], slug: str) -> Revision:
        """Return the revision that follows the head of its own branch.

        Raises:
            ScaffoldError: the branch has several heads.
        """
        own_folder = self.migrations(modules)
        folders = {*migrations_of(modules), own_folder}
        script = ScriptDirectory.from_config(alembic_config(sorted(folders)))
        here = coerce_resource_to_filename(own_folder).resolve()
        revisions = [r for r in script.walk_revisions() if Path(r.path).parent == here]
        heads = [r.revision for r in revisions if r.is_head]
        if len(heads) > 1:
            raise ScaffoldError(f"{here} has several heads: {', '.join(heads)}")
        used_ids = {revision.revision for revision in revisions}
        ids = (f"{self.package}_{number:04d}" for number in count(len(revisions) + 1))
        free_id = next(id_ for id_ in ids if id_ not in used_ids)
        day = datetime.now(UTC).date().isoformat().replace("-", "_")
        return Revision(free_id, heads[0] if heads else None, f"{day}_{slug}")


def _end_of_modules(text: str) -> int | None:
    """Return the position of the closing bracket of `MODULES = (…)`."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [t.id for t in targets if isinstance(t, ast.Name)]
            if names == ["MODULES"] and isinstance(node.value, ast.Tuple | ast.List):
                return _offset(text, node.value) - 1
    return None


def _offset(text: str, node: ast.expr) -> int:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = text.splitlines(keepends=True)
    # `end_col_offset` counts bytes of UTF-8, not characters.
    last = lines[node.end_lineno - 1].encode()[: node.end_col_offset].decode()
    return sum(map(len, lines[: node.end_lineno - 1])) + len(last)


def _insert_after_imports(text: str, line: str) -> str:
    """Insert an import below the last import. Ruff sorts it later."""
    imports = [
        n for n in ast.parse(text).body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    last = max((node.end_lineno or 0 for node in imports), default=0)
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:last], line, *lines[last:]])

"""The project that a module or a migration is added to."""

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
    """The project of a folder, as `bedplate new` made it."""

    folder: Path
    package: str

    @classmethod
    def find(cls, folder: Path) -> "ExistingProject":
        """The project whose pyproject.toml is here.

        Raises:
            ProjectError: there is none.
        """
        name = app_name(folder)
        if name is None:
            raise ProjectError(
                "there is no project here: expected `app` in [tool.bedplate] of "
                f"{folder.resolve() / 'pyproject.toml'}; `bedplate new` makes one"
            )
        return cls(folder, name.partition(":")[0].partition(".")[0])

    @property
    def source(self) -> str:
        """Where its package is, below the folder."""
        in_src = self.folder / "src" / self.package
        return f"src/{self.package}" if in_src.is_dir() else self.package

    def migrations(self, modules: Sequence[Module]) -> str:
        """Where the revisions of its own tables are.

        Raises:
            ScaffoldError: in several folders.
        """
        own = [f for f in migrations_of(modules) if not f.startswith("bedplate:")]
        if len(own) > 1:
            raise ScaffoldError(f"expected one folder of migrations, not {own}")
        return own[0] if own else f"{self.package}:migrations"

    def registered(self, module: str) -> str:
        """The file that lists its modules, with one more.

        Raises:
            ScaffoldError: there is no list of modules as `bedplate new` writes it.
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
        listed = f"{text[:end].rstrip().rstrip(',')}, {module}{text[end:]}"
        return _after_imports(listed, line)

    def next_revision(self, modules: Sequence[Module], slug: str) -> Revision:
        """What follows the head of its own branch.

        Raises:
            ScaffoldError: the branch has several heads.
        """
        own_folder = self.migrations(modules)
        folders = {*migrations_of(modules), own_folder}
        script = ScriptDirectory.from_config(alembic_config(sorted(folders)))
        here = coerce_resource_to_filename(own_folder).resolve()
        own = [r for r in script.walk_revisions() if Path(r.path).parent == here]
        heads = [r.revision for r in own if r.is_head]
        if len(heads) > 1:
            raise ScaffoldError(f"{here} has several heads: {', '.join(heads)}")
        taken = {revision.revision for revision in own}
        numbers = (f"{self.package}_{number:04d}" for number in count(len(own) + 1))
        free = next(number for number in numbers if number not in taken)
        day = datetime.now(UTC).date().isoformat().replace("-", "_")
        return Revision(free, heads[0] if heads else None, f"{day}_{slug}")


def _end_of_modules(text: str) -> int | None:
    """Where the closing bracket of `MODULES = (…)` is."""
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
    last = lines[node.end_lineno - 1].encode()[: node.end_col_offset].decode()
    return sum(map(len, lines[: node.end_lineno - 1])) + len(last)


def _after_imports(text: str, line: str) -> str:
    """A file with an import below its last one; ruff sorts it later."""
    imports = [
        n for n in ast.parse(text).body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    last = max((node.end_lineno or 0 for node in imports), default=0)
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:last], line, *lines[last:]])

from collections.abc import Callable
from pathlib import Path

import pytest

from bedplate.scaffold.existing import ExistingProject
from bedplate.scaffold.new_project import ProjectSpec, plan_project

PACKAGE = "planted_shop"

Files = dict[Path, bytes]


@pytest.fixture
def project(tmp_path: Path) -> ExistingProject:
    """Return a new project."""
    spec = ProjectSpec(name=PACKAGE, title="Shop", folder=tmp_path / PACKAGE)
    plan_project(spec).write()
    return ExistingProject.find(spec.folder)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], Files]:
    """Return a function that reads all files in the test's folder.

    Tests compare them to show that a refusal wrote nothing.
    """

    def read() -> Files:
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    return read

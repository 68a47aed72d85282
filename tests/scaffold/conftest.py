from collections.abc import Callable
from pathlib import Path

import pytest

from bedplate.scaffold.existing import ExistingProject
from bedplate.scaffold.new_project import ProjectSpec, plan_project

PACKAGE = "planted_shop"

Files = dict[Path, bytes]


@pytest.fixture
def project(tmp_path: Path) -> ExistingProject:
    """A project that was just made."""
    spec = ProjectSpec(name=PACKAGE, title="Shop", folder=tmp_path / PACKAGE)
    plan_project(spec).write()
    return ExistingProject.find(spec.folder)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], Files]:
    """Everything below the test's folder, to show that a refusal wrote nothing."""

    def read() -> Files:
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    return read

"""The contracts of `.importlinter` are kept, and each one detects a violation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = (str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache")

STOREYS = "A storey imports only those below it"
MODULES = "A module imports only lower modules"
KINDS = "Inside a module, a request reads downwards"
QUERIES = "A router never imports a repository"
FRAMEWORKS = "Nothing under a router reaches a web framework"
CORE = "The core knows no framework and no database"
CYCLES = "No import cycle between siblings"
DJANGO = "Django never imports a repository, nor FastAPI"
JSON_ONLY = "DBOS is imported where it decodes JSON only"

# A file, the line that is planted in it, and the contract that it breaks.
PLANTED = [
    ("config.py", "import bedplate.main", STOREYS),
    ("core/clock.py", "import bedplate.config", STOREYS),
    ("modules/users/service.py", "import bedplate.modules.auth.models", MODULES),
    ("modules/users/repository.py", "import bedplate.modules.users.service", KINDS),
    ("example/posts/router.py", "import bedplate.example.posts.viewsets", KINDS),
    ("modules/users/router.py", "import bedplate.modules.users.repository", QUERIES),
    ("modules/users/service.py", "from fastapi import HTTPException", FRAMEWORKS),
    ("modules/auth/schemas.py", "import starlette.requests", FRAMEWORKS),
    ("core/clock.py", "import sqlalchemy", CORE),
    ("database/base.py", "import bedplate.database.session", CYCLES),
    ("django_site/site.py", "import bedplate.modules.users.repository", DJANGO),
    ("django_site/settings.py", "import fastapi", DJANGO),
    ("modules/users/service.py", "import django", FRAMEWORKS),
    ("worker.py", "from dbos import DBOS", JSON_ONLY),
    ("modules/jobs/service.py", "import dbos", JSON_ONLY),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package, for planted violations."""
    shutil.copy(ROOT / ".importlinter", tmp_path)
    copied = tmp_path / "bedplate"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "bedplate", copied, ignore=ignore)
    return copied


def broken(result: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^(.+) BROKEN\b", result.stdout, re.MULTILINE))


def test_every_contract_is_kept() -> None:
    result = lint(ROOT)

    assert result.returncode == 0, result.stdout
    assert not broken(result)


@pytest.mark.parametrize(("file", "line", "contract"), PLANTED)
def test_a_planted_import_breaks_its_contract(
    package: Path, file: str, line: str, contract: str
) -> None:
    path = package / file
    path.write_text(f"{path.read_text()}\n{line}\n")

    result = lint(package.parent)

    assert result.returncode == 1
    assert contract in broken(result)


def test_a_planted_file_that_has_no_storey_is_seen(package: Path) -> None:
    (package / "stray.py").touch()

    result = lint(package.parent)

    assert broken(result) == {STOREYS}
    assert "stray" in result.stdout

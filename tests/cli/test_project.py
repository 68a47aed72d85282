"""Commands in a project's folder use the project's application."""

from pathlib import Path
from typing import Any

import pytest

from bedplate.testing.servers import run_command

APP = '''
from bedplate import Module, create_app
from bedplate.core.permissions import Permission
from bedplate.api.dependencies import CurrentUser, require_permission, require_role
from bedplate.example import BUILT_IN
from bedplate.api.routing import Router

router = Router(prefix="/greetings", tags=["greetings"])


@router.get("/mine", response_model=str)
async def get_my_greeting(caller: CurrentUser) -> str:
    """Get a greeting."""
    return "Hello"


WRITE = Permission("greetings:write", "Write greetings.")


@router.put("/mine", response_model=str, dependencies=[require_permission(WRITE)])
async def change_my_greeting() -> str:
    """Change a greeting."""
    return "Hello"


EDITORS = require_role("editor", "admin")


@router.delete("/mine", response_model=str, dependencies=[EDITORS])
async def delete_my_greeting() -> str:
    """Delete a greeting."""
    return "Hello"


greetings = Module(
    name="greetings", router=router, requires=["auth"], permissions=[WRITE]
)
app = create_app(modules=[*BUILT_IN, greetings])
'''
PYPROJECT = '[tool.bedplate]\napp = "{app}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "planted_shop.py").write_text(APP)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(app="planted_shop:app"))
    return tmp_path


def test_a_projects_operations_are_listed(folder: Path) -> None:
    done = run_command(folder, "routes")

    output = " ".join(done.stdout.split())
    assert "GET /api/v1/greetings/mine signed in" in output, done.stderr
    assert "PUT /api/v1/greetings/mine greetings:write" in output
    assert "DELETE /api/v1/greetings/mine admin, editor" in output


def test_the_environment_overrides_pyproject(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PYPROJECT.format(app="nowhere:app"))

    done = run_command(folder, "routes", app="planted_shop:app")

    assert "/api/v1/greetings/mine" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        (PYPROJECT.format(app="planted_nowhere:app"), "No module named"),
        (
            PYPROJECT.format(app="planted_nowhere"),
            "is not an import path such as `shop.main:app`",
        ),
        (PYPROJECT.format(app="json:app"), "has no 'app'"),
        (PYPROJECT.format(app="json:dumps"), "has no 'dumps'"),
        ("[tool.bedplate", "pyproject.toml can't be read"),
    ],
)
def test_a_wrong_name_of_the_application_is_one_line(
    bedplate: Any, tmp_path: Path, pyproject: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(pyproject)

    done = bedplate("migrate")

    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_error_inside_the_application_is_shown_as_it_is(folder: Path) -> None:
    (folder / "planted_shop.py").write_text("import planted_missing\n")

    done = run_command(folder, "routes")

    assert "Traceback" in done.stderr
    assert "planted_missing" in done.stderr

"""The application that commands, server and worker are about.

In a folder whose pyproject.toml says so it is the project's:

[tool.bedplate]
app = "shop.main:app"

BEDPLATE_APP names another. Without either it is the example, `bedplate.example`.
"""

import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from bedplate.config import PREFIX, Settings
from bedplate.main import create_app
from bedplate.runtime import Runtime


class ProjectError(Exception):
    """The project can't be worked on; the text says what was expected where."""


def load_app() -> FastAPI:
    """The application of the folder that this process runs in.

    Raises:
        ProjectError: what names it is wrong.
        SettingsError, ModuleError: as `create_app` does.
    """
    name = app_name(Path())
    return example_app() if name is None else import_app(name)


def example_app() -> FastAPI:
    """Make the application of a folder that names none.

    Raises:
        SettingsError: a setting is wrong.
    """
    from bedplate.example import MODULES

    return create_app(modules=MODULES)


def app_name(folder: Path) -> str | None:
    """`module:attribute`, from BEDPLATE_APP or a folder's pyproject.toml.

    Raises:
        ProjectError: pyproject.toml can't be read.
    """
    name = Settings.load().app or read_table(folder).get("app")
    return None if name is None else str(name)


def read_table(folder: Path) -> dict[str, Any]:
    """`[tool.bedplate]` of a folder's pyproject.toml; empty where there is none.

    Raises:
        ProjectError: pyproject.toml can't be read.
    """
    path = folder / "pyproject.toml"
    if not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ProjectError(f"pyproject.toml can't be read: {error}") from None
    table: dict[str, Any] = document.get("tool", {}).get("bedplate", {})
    return table


def import_app(name: str, folder: Path = Path()) -> FastAPI:
    """Import an application by its name, such as `shop.main:app`.

    Modules are looked for in the folder first.

    Raises:
        ProjectError: there is no such application.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise _wrong(name, "is not like `shop.main:app`")
    app = getattr(_import(module_name, name, folder), attribute, None)
    if not isinstance(app, FastAPI) or not _is_ours(app):
        raise _wrong(name, f"has no {attribute!r} that `create_app` made")
    return app


def _import(module_name: str, name: str, folder: Path) -> Any:
    # A console script's path begins with its own folder, not with this one.
    if str(folder.absolute()) not in sys.path:
        sys.path.insert(0, str(folder.absolute()))
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        # Another module that is missing is an error inside theirs, shown as it is.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise _wrong(name, f"can't be imported: {error}") from None


def _is_ours(app: FastAPI) -> bool:
    return isinstance(getattr(app.state, "runtime", None), Runtime)


def _wrong(name: str, reason: str) -> ProjectError:
    return ProjectError(
        f"the application {name!r} {reason} "
        f"(from `app` in [tool.bedplate] of pyproject.toml, or {PREFIX}APP)"
    )

"""Load the application that the commands, the server and the worker run.

A project names it in its pyproject.toml:

[tool.bedplate]
app = "shop.main:app"

BEDPLATE_APP overrides it. Without either, it is the built-in modules alone.
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
    """The project is not usable. The text explains what is wrong, and where."""


def load_app() -> FastAPI:
    """Return the application of the working directory.

    Raises:
        ProjectError: its name is wrong, or pyproject.toml can't be read.
        SettingsError, ModuleError: as `create_app` does.
    """
    name = app_name(Path())
    return create_app() if name is None else import_app(name)


def app_name(folder: Path) -> str | None:
    """Return `module:attribute` from BEDPLATE_APP or a folder's pyproject.toml.

    Raises:
        ProjectError: pyproject.toml can't be read.
    """
    name = Settings.load().app or read_table(folder).get("app")
    return None if name is None else str(name)


def read_table(folder: Path) -> dict[str, Any]:
    """Return `[tool.bedplate]` of a folder's pyproject.toml, empty if missing.

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

    Python searches for its module in the folder first.

    Raises:
        ProjectError: the application does not exist.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise _error(name, "is not an import path such as `shop.main:app`")
    app = getattr(_import(module_name, name, folder), attribute, None)
    if not isinstance(app, FastAPI) or not _has_runtime(app):
        raise _error(name, f"has no {attribute!r} that `create_app` returned")
    return app


def _import(module_name: str, name: str, folder: Path) -> Any:
    # `sys.path` of a console script starts with the script's folder, not with this one.
    if str(folder.absolute()) not in sys.path:
        sys.path.insert(0, str(folder.absolute()))
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        # If another module is missing, the error is in the project's code: show it all.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise _error(name, f"can't be imported: {error}") from None


def _has_runtime(app: FastAPI) -> bool:
    return isinstance(getattr(app.state, "runtime", None), Runtime)


def _error(name: str, reason: str) -> ProjectError:
    return ProjectError(
        f"the application {name!r} {reason} "
        f"(from `app` in [tool.bedplate] of pyproject.toml, or {PREFIX}APP)"
    )

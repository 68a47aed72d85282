"""The application under test: the project's own, with a test's settings."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fastapi import FastAPI

from bedplate.config import PREFIX, Settings
from bedplate.loader import import_app, read_table
from bedplate.main import bind, create_app
from bedplate.module import Module
from bedplate.testing.databases import TEST_KEY


def load_project_app(folder: Path) -> FastAPI:
    """Import `app` of `[tool.bedplate]` in a folder's `pyproject.toml`.

    Without `app` it is the example, as for `bedplate serve`.

    Raises:
        ProjectError: pyproject.toml is wrong, or `app` can't be imported.
    """
    name = read_table(folder).get("app")
    with _without_the_developers_settings():
        return create_app() if name is None else import_app(name, folder)


def make_application(
    modules: Sequence[Module] | None = None, **options: Any
) -> FastAPI:
    """Make an application of these modules, for tests that override `application`.

    `options` are those of `create_app`.

    Raises:
        ModuleError: the modules don't fit together.
    """
    with _without_the_developers_settings():
        return create_app(modules=modules, **options)


@contextmanager
def _without_the_developers_settings() -> Iterator[None]:
    """Hide `BEDPLATE_…` and `.env` from the code in the block."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(PREFIX):
                patch.delenv(name)
        patch.setenv(f"{PREFIX}DATA_DIR", folder)
        patch.setenv(f"{PREFIX}SECRET_KEY", TEST_KEY)
        patch.setitem(Settings.model_config, "env_file", None)
        yield


def settings_for(app: FastAPI, values: dict[str, Any]) -> Settings:
    """Return settings of the application's class: those of its code, then `values`.

    Raises:
        SettingsError: a value is wrong.
    """
    defaults: Settings = app.state.runtime.settings
    values = {**defaults.model_dump(exclude_unset=True), **values}
    # Another prefix, so that the developer's environment is ignored.
    return type(defaults).load(_env_file=None, _env_prefix=f"{PREFIX}TEST_", **values)


@contextmanager
def bound(app: FastAPI, settings: Settings) -> Iterator[None]:
    """Give the application these settings in the block.

    Routes, middleware, handlers and overrides that a test adds are removed afterwards.

    Raises:
        SettingsError: a setting is wrong.
    """
    lists: list[list[Any]] = [app.router.routes, app.user_middleware]
    tables: list[dict[Any, Any]] = [
        app.dependency_overrides,
        app.exception_handlers,
        app.state._state,  # noqa: SLF001, Starlette has no public way to copy it
    ]
    # Copied, and restored in place: Starlette and FastAPI hold references to them.
    list_copies, table_copies = [[*x] for x in lists], [{**x} for x in tables]
    try:
        bind(app, settings)
        yield
    finally:
        for current, previous in zip(lists, list_copies, strict=True):
            current[:] = previous
        for table, entries in zip(tables, table_copies, strict=True):
            table.clear()
            table.update(entries)
        app.middleware_stack = app.openapi_schema = None

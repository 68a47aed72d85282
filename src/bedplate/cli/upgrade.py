"""`bedplate upgrade`: show the changes that the installed version requires."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import describe, run

if TYPE_CHECKING:
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(upgrade)


def upgrade(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if there is something to do.")
    ] = False,
) -> None:
    """Show what the installed version requires of this project. Change nothing.

    Lists deprecated and removed names and settings, and migrations to run.
    """
    from importlib.metadata import version

    print(f"Bedplate {version('bedplate')}")
    to_do = [*_deprecated_uses(), *_missing_migrations()]
    for line in to_do or ["nothing to do"]:
        print(f"  {line}")
    if check and to_do:
        raise typer.Exit(1)


def _deprecated_uses() -> Iterator[str]:
    """Yield each use of a deprecated name or setting.

    It reads files only: an application that uses a removed name can't be imported.
    """
    from bedplate.check.project import Project
    from bedplate.check.upgrade import find_deprecated
    from bedplate.deprecations import DEPRECATIONS

    for place, entry in find_deprecated(Project(Path()), DEPRECATIONS):
        yield f"{place}: {entry.message}; it is removed in {entry.gone_in}"
    for entry in DEPRECATIONS:
        if entry.old in os.environ:
            yield f"environment: {entry.message}; it is removed in {entry.gone_in}"


def _missing_migrations() -> list[str]:
    try:
        return run(_missing)
    except Exception as error:
        if (line := describe(error)) is None:
            raise
        return [line]


async def _missing(runtime: "Runtime") -> list[str]:
    from bedplate.migrate import missing_migrations, schema_is_at_head

    database, folders = runtime.database, runtime.migrations
    missing = await missing_migrations(database, folders)
    if not missing and await schema_is_at_head(database, folders):
        return []
    return [*(f"migration {name}" for name in missing), "run `bedplate migrate`"]

"""`bedplate migrate`: run, check, list and undo migrations."""

import asyncio
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli.runner import fail, run

if TYPE_CHECKING:
    from bedplate.migrate import Step
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing. Fail if a migration is missing."),
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="List all migrations. Change nothing.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Go up or down to this revision."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Undo migrations without asking.")
    ] = False,
) -> None:
    """Run all missing migrations: of your modules, the job engine and Django."""
    if check + history + (to is not None) > 1:
        raise typer.BadParameter("use one of --check, --history and --to")
    if history:
        run(_show_history)
    elif to is not None:
        _go_to(to, yes=yes)
    else:
        run(_check if check else _upgrade)
        print("The schema is at head.")


async def _upgrade(runtime: "Runtime") -> None:
    from bedplate import migrate as migrations

    _report(await migrations.upgrade(runtime.database, runtime.migrations))
    if django := await _django(runtime):
        _report(map(migrations.Step, await asyncio.to_thread(django.upgrade)))


def _report(steps: "Iterable[Step]") -> None:
    for step in steps:
        print(f"{'Ran' if step.is_upgrade else 'Undid'} {step.name}")


async def _check(runtime: "Runtime") -> None:
    from bedplate import migrate as migrations

    problem = await migrations.schema_problem(runtime.database, runtime.migrations)
    if problem is None and (django := await _django(runtime)):
        at_head = await asyncio.to_thread(django.is_at_head)
        problem = None if at_head else migrations.NOT_AT_HEAD
    if problem is not None:
        fail(problem)


async def _show_history(runtime: "Runtime") -> None:
    from bedplate import migrate as migrations

    history = await migrations.read_history(runtime.database, runtime.migrations)
    for name, is_done in history.items():
        print(f"{'done' if is_done else 'pending':<8} {name}")


def _go_to(revision: str, *, yes: bool) -> None:
    """Migrate up or down to a revision.

    Going down drops tables and columns with their data, so it requires a confirmation.
    """
    from bedplate import migrate as migrations

    async def plan(runtime: "Runtime") -> list[str]:
        return await migrations.steps_down(
            runtime.database, runtime.migrations, revision
        )

    async def go(runtime: "Runtime") -> None:
        _report(
            await migrations.migrate_to(runtime.database, runtime.migrations, revision)
        )

    if (migrations_to_undo := run(plan)) and not yes:
        _confirm(migrations_to_undo)
    run(go)
    print(f"The schema is at {revision}.")


def _confirm(names: list[str]) -> None:
    print("This undoes these migrations and deletes the data of their tables:")
    for name in names:
        print(f"  {name}")
    if not sys.stdin.isatty():
        fail("standard input is not a terminal: use --yes to undo them")
    typer.confirm("Undo them?", abort=True)


async def _django(runtime: "Runtime") -> Any:
    """Return the module that migrates Django's tables, or None without Django."""
    from bedplate.dispatcher import django_is_installed

    if not django_is_installed():
        return None
    from bedplate.django_site import setup
    from bedplate.loader import load_app

    modules = load_app().state.modules
    await asyncio.to_thread(setup.set_up, runtime.settings, modules)
    return setup

"""`bedplate migrate`."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli import fail, run

if TYPE_CHECKING:
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; fail if a migration is missing."),
    ] = False,
) -> None:
    """Bring the schema to head: our tables, the jobs' and Django's own."""
    run(_check if check else _upgrade)
    print("The schema is at head.")


async def _upgrade(runtime: "Runtime") -> None:
    from bedplate import migrate as migrations

    await migrations.upgrade(runtime.database, runtime.migrations)
    if django := await _django(runtime):
        await asyncio.to_thread(django.upgrade)


async def _check(runtime: "Runtime") -> None:
    from bedplate import migrate as migrations

    database, folders = runtime.database, runtime.migrations
    at_head = await migrations.schema_is_at_head(database, folders)
    if at_head and (django := await _django(runtime)):
        at_head = await asyncio.to_thread(django.is_at_head)
    if not at_head:
        fail("the schema is not at head: run `bedplate migrate`")


async def _django(runtime: "Runtime") -> Any:
    """What migrates Django's own tables, if it is installed."""
    from bedplate.dispatcher import django_is_installed

    if not django_is_installed():
        return None
    from bedplate.django_site import setup

    await asyncio.to_thread(setup.set_up, runtime.settings, runtime.modules)
    return setup

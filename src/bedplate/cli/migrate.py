"""`bedplate migrate`."""

from typing import Annotated

import typer

from bedplate.cli import fail, run


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; fail if a migration is missing."),
    ] = False,
) -> None:
    """Bring the database's schema to head."""
    from bedplate import migrate as migrations

    if not check:
        run(lambda runtime: migrations.upgrade(runtime.database, runtime.migrations))
        print("The schema is at head.")
    elif run(
        lambda runtime: migrations.schema_is_at_head(
            runtime.database, runtime.migrations
        )
    ):
        print("The schema is at head.")
    else:
        fail("the schema is not at head: run `bedplate migrate`")

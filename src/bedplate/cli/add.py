"""`bedplate add`: a module or a migration for the project of this folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.new import DryRun, Yes, show_plan, write_plan

app = typer.Typer(help="Add to the project of this folder.", no_args_is_help=True)


@app.command()
def migration(
    message: Annotated[str, typer.Argument(help='As "add a currency to invoices".')],
) -> None:
    """Write the revision from what the migrations make to what the models say."""
    from bedplate.loader import load_app
    from bedplate.scaffold.existing import ExistingProject
    from bedplate.scaffold.migration import add_migration

    project = ExistingProject.find(Path())
    path = add_migration(project, load_app().state.modules, message)
    print(f"Wrote {path}: read it, then `bedplate migrate`.")


@app.command()
def module(
    name: Annotated[str, typer.Argument(help="A plural, as `invoices`.")],
    fields: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD...", help="As 'number:str:unique total:decimal(10,2)'."
        ),
    ],
    singular: Annotated[
        str | None, typer.Option(help="What one is called. Default: from NAME.")
    ] = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="With a job.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Write a module with its table, API, admin, factory and tests, and list it."""
    from bedplate.loader import load_app
    from bedplate.scaffold.existing import ExistingProject
    from bedplate.scaffold.new_module import ModuleSpec, plan_module

    project = ExistingProject.find(Path())
    modules = load_app().state.modules
    spec = ModuleSpec(name=name, fields=fields, singular=singular, jobs=jobs)
    plan = plan_module(project, modules, spec)
    show_plan(plan)
    write_plan(plan, dry_run=dry_run, asking=sys.stdin.isatty() and not yes)
    if not dry_run:
        print("\n  Next: `bedplate migrate`, `bedplate serve`, `pytest`.")

"""`bedplate add`: add a module or a migration to the project in this folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.new import DryRun, Yes, show_plan, write_plan

app = typer.Typer(help="Add to the project in this folder.", no_args_is_help=True)


@app.command()
def migration(
    message: Annotated[
        str, typer.Argument(help='For example "add a currency to invoices".')
    ],
) -> None:
    """Write a migration for the difference between the models and the migrations."""
    from bedplate.loader import load_app
    from bedplate.scaffold.existing import ExistingProject
    from bedplate.scaffold.migration import add_migration

    project = ExistingProject.find(Path())
    path = add_migration(project, load_app().state.modules, message)
    print(f"Wrote {path}. Review it, then run `bedplate migrate`.")


@app.command()
def module(
    name: Annotated[str, typer.Argument(help="A plural noun, for example `invoices`.")],
    fields: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD...",
            help="For example 'number:str:unique total:decimal(10,2)'.",
        ),
    ],
    singular: Annotated[
        str | None, typer.Option(help="The singular noun. Default: from NAME.")
    ] = None,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Also write a background job.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Write a module: table, API, admin, factory and tests. Add it to the project."""
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
        print("\n  Next, run `bedplate migrate`, `bedplate serve` and `pytest`.")

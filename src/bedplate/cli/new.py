"""`bedplate new`: create a project."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail

if TYPE_CHECKING:
    from bedplate.scaffold.new_project import ProjectSpec
    from bedplate.scaffold.plan import Plan

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the files. Write nothing.")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Accept the defaults without asking.")
]


def register(app: typer.Typer) -> None:
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(help="For example `shop` or `my-shop`.")],
    into: Annotated[
        Path | None, typer.Option(help="The folder to create. Default: ./NAME.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="The title for people. Default: from NAME.")
    ] = None,
    django: Annotated[
        bool | None,
        typer.Option(
            "--django/--no-django", help="Add the Django admin and DRF to the API."
        ),
    ] = None,
    ci: Annotated[
        str | None, typer.Option(help="The CI file: `github` or `none`.")
    ] = None,
    bedplate_source: Annotated[
        Path | None,
        typer.Option(
            help="Depend on this copy of Bedplate's repository, not on a release.",
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Create a project on Bedplate, with tests, a CI file and a Dockerfile."""
    from bedplate.scaffold.new_project import (
        CI_FILES,
        ProjectSpec,
        plan_project,
        title_of,
    )

    asking = not (yes or dry_run)
    if asking and not sys.stdin.isatty():
        fail("standard input is not a terminal: use --yes to accept the defaults")
    spec = ProjectSpec(
        name=name,
        folder=into or Path(name),
        title=title or _ask("Title for people", title_of(name), asking),
        django=_confirm("Add the Django admin?", asking) if django is None else django,
        ci=ci or _ask(f"CI file ({', '.join(CI_FILES)})", "github", asking),
        source=bedplate_source,
    )
    plan = plan_project(spec)
    show_plan(plan)
    write_plan(plan, dry_run=dry_run, asking=asking)
    if not dry_run:
        _print_next_steps(spec)


def _ask(question: str, default: str, asking: bool) -> str:
    return str(typer.prompt(f"  {question}", default=default)) if asking else default


def _confirm(question: str, asking: bool) -> bool:
    return typer.confirm(f"  {question}", default=True) if asking else True


def show_plan(plan: "Plan") -> None:
    """Print the plan's files as a tree, with a mark at those that it changes."""
    from rich.console import Console
    from rich.tree import Tree

    # Folders first, then the files of the project's root.
    root = Tree(f"[bold]{plan.folder.resolve().name}/[/]", guide_style="dim")
    branches = {Path(): root}
    for path in map(Path, sorted(plan.files, key=lambda p: (p.count("/") == 0, p))):
        for parent in reversed(path.parents[:-1]):
            if parent not in branches:
                branches[parent] = branches[parent.parent].add(f"{parent.name}/")
        mark = " [yellow](changed)[/]" if str(path) in plan.changed else ""
        branches[path.parent].add(f"[green]{path.name}[/]{mark}")
    Console(highlight=False).print(root)


def write_plan(plan: "Plan", *, dry_run: bool, asking: bool) -> None:
    """Write the plan's files, after a confirmation if `asking`.

    Raises:
        ScaffoldError: a file exists already or can't be written.
    """
    if dry_run:
        plan.check()
        print("Dry run: no file was written.")
        return
    if asking:
        typer.confirm("\n  Write these files?", default=True, abort=True)
    plan.write()


def _print_next_steps(spec: "ProjectSpec") -> None:
    from rich.console import Console
    from rich.markup import escape

    steps = {
        f"cd {spec.folder}": "",
        "uv run bedplate serve": "serve the API and its documentation",
        "uv run pytest": "run the tests, on both databases",
        "uv run bedplate add module invoices 'number:str:unique due:date'": (
            "add a module"
        ),
    }
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n  [bold]{escape(spec.title)}[/] is ready. Next:\n")
    for command, purpose in steps.items():
        comment = f"  [dim]# {purpose}[/]" if purpose else ""
        console.print(f"    {escape(command)}{comment}")
    console.print()

"""`bedplate new`: a project of one's own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail

if TYPE_CHECKING:
    from bedplate.scaffold.new_project import ProjectSpec
    from bedplate.scaffold.plan import Plan

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def register(app: typer.Typer) -> None:
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(help="As `shop` or `my-shop`.")],
    into: Annotated[
        Path | None, typer.Option(help="The folder to make. Default: NAME, here.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="What people call it. Default: from NAME.")
    ] = None,
    django: Annotated[
        bool | None,
        typer.Option(
            "--django/--no-django", help="Django admin and DRF beside the API."
        ),
    ] = None,
    ci: Annotated[str | None, typer.Option(help="`github` or `none`.")] = None,
    bedplate_source: Annotated[
        Path | None,
        typer.Option(
            help="A copy of bedplate's repository to depend on, in place of a release.",
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Make a project that depends on bedplate, with tests, CI file and Dockerfile."""
    from bedplate.scaffold.new_project import (
        CI_FILES,
        ProjectSpec,
        plan_project,
        title_of,
    )

    asking = not (yes or dry_run)
    if asking and not sys.stdin.isatty():
        fail("there is no terminal to ask at: use --yes to take the defaults")
    spec = ProjectSpec(
        name=name,
        folder=into or Path(name),
        title=title or _ask("What do people call it?", title_of(name), asking),
        django=_confirm("With the Django admin?", asking) if django is None else django,
        ci=ci or _ask(f"CI ({', '.join(CI_FILES)})?", "github", asking),
        source=bedplate_source,
    )
    plan = plan_project(spec)
    show_plan(plan)
    write_plan(plan, dry_run=dry_run, asking=asking)
    if not dry_run:
        _say_next(spec)


def _ask(question: str, default: str, asking: bool) -> str:
    return str(typer.prompt(f"  {question}", default=default)) if asking else default


def _confirm(question: str, asking: bool) -> bool:
    return typer.confirm(f"  {question}", default=True) if asking else True


def show_plan(plan: "Plan") -> None:
    """The files as a tree; those that are changed say so."""
    from rich.console import Console
    from rich.tree import Tree

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
    """Write it, unless it is only to be shown or is refused."""
    if dry_run:
        plan.check()
        print("Nothing is written: --dry-run.")
        return
    if asking:
        typer.confirm("\n  Write it?", default=True, abort=True)
    plan.write()


def _say_next(spec: "ProjectSpec") -> None:
    from rich.console import Console
    from rich.markup import escape

    steps = {
        f"cd {spec.folder}": "",
        "uv run bedplate serve": "the API and its documentation",
        "uv run pytest": "its tests, on both databases",
        "uv run bedplate add module invoices 'number:str:unique due:date'": "a module",
    }
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n  [bold]{escape(spec.title)}[/] is made. Next:\n")
    for step, what in steps.items():
        console.print(f"    {escape(step)}" + (f"  [dim]# {what}[/]" if what else ""))
    console.print()

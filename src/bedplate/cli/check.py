"""`bedplate check`: what is wrong with a project, and how to mend it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bedplate.check.findings import Report


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    path: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
    app: Annotated[
        str | None,
        typer.Option(
            help="The application, as `package.module:app`; found if it isn't said."
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="For people or programs.")
    ] = Format.TEXT,
    baseline: Annotated[
        Path | None, typer.Option(help="A file of known findings, left out.")
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(help="Write the findings to such a file, and succeed."),
    ] = None,
) -> None:
    """Find what is wrong with any FastAPI project: where, why, and how to mend it.

    Runs ruff, mypy, import-linter and detect-secrets where they are installed, reads
    the OpenAPI document of the application, which it imports, and has rules of its own.
    Ends with 0 if nothing is found, 1 if something is, 2 if it can't be done.
    """
    from bedplate.check.baseline import without_known
    from bedplate.check.baseline import write_baseline as write
    from bedplate.check.project import CheckError
    from bedplate.check.run import check_project

    try:
        report = check_project(path, app)
        if baseline is not None:
            report = without_known(baseline, report)
        if write_baseline is not None:
            write(write_baseline, report)
    except CheckError as error:
        print(f"bedplate: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    if write_baseline is not None:
        print(f"{len(report.findings)} findings are known now: {write_baseline}")
        return
    _show(report, format_)
    raise typer.Exit(1 if report.findings else 0)


def _show(report: "Report", format_: Format) -> None:
    from rich.console import Console

    from bedplate.check.report import as_json, as_sarif, print_text

    if format_ is Format.JSON:
        print(as_json(report))
    elif format_ is Format.SARIF:
        print(as_sarif(report))
    else:
        width = None if sys.stdout.isatty() else 100
        print_text(report, Console(highlight=False, width=width))

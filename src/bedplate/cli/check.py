"""`bedplate check`: find the problems of a project and show how to fix them."""

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
            help="The application, as `package.module:app`. Default: searched for."
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="The format of the report.")
    ] = Format.TEXT,
    baseline: Annotated[
        Path | None, typer.Option(help="A file of known findings to leave out.")
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(help="Write all findings to such a file and exit with 0."),
    ] = None,
) -> None:
    """Find problems in any FastAPI project: where, why, and how to fix them.

    Runs ruff, mypy, import-linter and detect-secrets if they are installed, imports the
    application to read its OpenAPI document, and adds rules of its own. Exits with 0 if
    nothing is found, with 1 if something is found, with 2 if the check can't run.
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
        print(f"Wrote {len(report.findings)} findings to {write_baseline}.")
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
        # A fixed width where another program reads the report, so that logs can be
        # compared.
        width = None if sys.stdout.isatty() else 100
        print_text(report, Console(highlight=False, width=width))

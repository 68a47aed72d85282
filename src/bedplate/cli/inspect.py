"""`bedplate routes`, `openapi` and `doctor`: show this installation."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bedplate.cli.runner import describe, print_table, run

if TYPE_CHECKING:
    from bedplate.config import Settings
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    for command in (routes, openapi, doctor):
        app.command()(command)


def routes() -> None:
    """List every operation of the API and who may call it."""
    from rich.table import Table

    from bedplate.api.openapi import callers_of
    from bedplate.loader import load_app

    table = Table("Method", "Path", "For", "Summary", box=None)
    app = load_app()
    callers = callers_of(app)
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            allowed = callers[method.upper(), path]
            table.add_row(method.upper(), path, allowed, operation["summary"])
    print_table(table)


def openapi() -> None:
    """Print the OpenAPI document as JSON."""
    import json

    from bedplate.loader import load_app

    print(json.dumps(load_app().openapi(), indent=2))


class _Finding(NamedTuple):
    ok: bool | None
    """True if all is well, False for a problem, None for a recommendation."""
    message: str


_MARKS = {True: "[green]ok[/]  ", False: "[red]FAIL[/]", None: "[yellow]hint[/]"}


def doctor(
    peer: Annotated[
        str | None, typer.Option(help="The address that a connection comes from.")
    ] = None,
    forwarded_for: Annotated[
        str, typer.Option(help="The X-Forwarded-For header of the request.")
    ] = "",
) -> None:
    """Show the resolved settings, and check the database, the schema and file modes.

    With --peer, also show which client address such a request counts as.
    """
    from rich.console import Console
    from rich.markup import escape

    from bedplate.loader import load_app

    console = Console(highlight=False, soft_wrap=True)
    settings: Settings = load_app().state.runtime.settings
    for name, value in _display_settings(settings):
        console.print(f"  {name:<32} {value}", markup=False)
    findings = [*_file_modes(settings), *run(_findings), *_recommended(settings)]
    if peer is not None:
        findings.append(_find_client_address(settings, peer, forwarded_for))
    console.print()
    for finding in findings:
        console.print(f"  {_MARKS[finding.ok]} {escape(finding.message)}")
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _display_settings(settings: "Settings") -> Iterator[tuple[str, str]]:
    from bedplate.config import PREFIX

    for name in type(settings).model_fields:
        yield f"{PREFIX}{name.upper()}", _display_value(settings, name)


def _display_value(settings: "Settings", name: str) -> str:
    """Return a setting's resolved value as text, with secrets hidden."""
    value = getattr(settings, name)
    if name == "database_url":
        return settings.shown_database_url
    if name == "previous_secret_keys" and value:
        return f"({len(value)} set, hidden)"
    if name == "secret_key":
        path = settings.data_dir.absolute() / "secret_key"
        return "(set, hidden)" if value else f"(generated and stored in {path})"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    return "(none)" if value is None else str(value)


def _recommended(settings: "Settings") -> Iterator[_Finding]:
    from bedplate.config import PREFIX

    accepts_common = settings.password_policy == "reference"  # noqa: S105, a name
    if settings.is_production and accepts_common:
        yield _Finding(
            None,
            f"{PREFIX}PASSWORD_POLICY is reference, which accepts common passwords. "
            "Set it to modern",
        )


def _find_client_address(
    settings: "Settings", peer: str, forwarded_for: str
) -> _Finding:
    from bedplate.core.origin import client_address

    address = client_address(peer, [forwarded_for], settings.trusted_proxies)
    header = f" with X-Forwarded-For: {forwarded_for}" if forwarded_for else ""
    return _Finding(True, f"a request from {peer}{header} counts as {address}")


def _file_modes(settings: "Settings") -> Iterator[_Finding]:
    """Report our files that other users of the machine can read or write."""
    from bedplate.core.private_files import find_exposed
    from bedplate.runtime import private_paths

    exposed = find_exposed(private_paths(settings))
    for path, mode, private_mode in exposed:
        problem = f"{path} is open to other users (mode {mode:04o})"
        command = f"chmod {private_mode:o} {shlex.quote(str(path))}"
        yield _Finding(False, f"{problem}: run `{command}`")
    if not exposed:
        yield _Finding(True, "data files are readable by their owner only")


async def _findings(runtime: "Runtime") -> list[_Finding]:
    from bedplate.migrate import schema_problem

    findings = [_Finding(True, "the secret key is usable")]
    try:
        await runtime.database.is_reachable()
        findings.append(_Finding(True, "the database answers"))
        problem = await schema_problem(runtime.database, runtime.migrations)
        findings.append(_Finding(problem is None, problem or "the schema is at head"))
    except Exception as error:
        if (line := describe(error)) is None:
            raise
        findings.append(_Finding(False, line))
    return findings

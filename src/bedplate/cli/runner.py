"""Shared by commands: a runtime to run with, one-line errors and tables."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

    from bedplate.runtime import Runtime

T = TypeVar("T")


def fail(line: str) -> NoReturn:
    """Print one line on standard error and exit with code 1."""
    print(f"bedplate: {line}", file=sys.stderr)
    sys.exit(1)


def print_table(table: "Table") -> None:
    """Print a table as wide as the terminal, or without wrapping into a pipe."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def describe(error: Exception) -> str | None:
    """Return one line for an error that a user can act on, or None for a bug."""
    from bedplate.config import SettingsError
    from bedplate.core.errors import APIError
    from bedplate.loader import ProjectError
    from bedplate.migrate import SchemaError
    from bedplate.module import ModuleError
    from bedplate.scaffold.plan import ScaffoldError

    one_line = (SettingsError, SchemaError, ModuleError, ProjectError, ScaffoldError)
    if isinstance(error, one_line):
        return str(error)
    if isinstance(error, APIError):
        details = [
            f"{d.field.removeprefix('body.')}: {d.message}" for d in error.details or ()
        ]
        return "; ".join(details) or f"{error.message}{_cause(error)}"
    return None


def _cause(error: Exception) -> str:
    """Return why the database is unavailable, without its URL; empty otherwise."""
    from bedplate.core.errors import ServiceUnavailable

    cause = error.__cause__
    if not isinstance(error, ServiceUnavailable) or cause is None:
        return ""
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f" (the database: {str(cause).splitlines()[0] if str(cause) else 'gone'})"


def run(act: Callable[["Runtime"], Awaitable[T]], *, is_service: bool = False) -> T:
    """Run one command's work with a new runtime, and return its result.

    A service (`serve`, `worker`) logs as configured, also after this returns. Any other
    command is run by a person and logs only warnings.
    """
    from bedplate.loader import load_app
    from bedplate.log import configure_logging, log_as_configured
    from bedplate.runtime import Runtime

    # Not the application's runtime: `serve` starts that one later, in another event
    # loop, and its connections can't move between loops.
    state = load_app().state
    settings = state.runtime.settings
    runtime = Runtime.make(settings, state.modules)
    if is_service:
        log_as_configured(settings)
    else:
        configure_logging(level="warning", as_json=False)

    async def work() -> T:
        try:
            return await act(runtime)
        finally:
            await runtime.close()

    return asyncio.run(work())

"""The program as a whole: help, usage errors, and start-up time."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bedplate.testing.servers import run_command

# Without pydantic, which typer imports for commands with options.
HEAVY = {"alembic", "asyncpg", "fastapi", "sqlalchemy", "structlog", "uvicorn"}
LIST_MODULES = """
import sys
from bedplate.cli import main
sys.argv = ["bedplate", *sys.argv[1:]]
try:
    main()
finally:
    print("imported:", *sys.modules)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["users", "--help"], ["serve", "-h"]]
)
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    program = (sys.executable, "-c", LIST_MODULES)

    done = run_command(tmp_path, *arguments, program=program)

    help_text, _, imported = done.stdout.partition("imported:")
    assert "Usage:" in help_text
    assert "typer" in imported.split()
    assert not HEAVY & set(imported.split())


def test_without_a_command_the_help_is_shown(bedplate: Any) -> None:
    done = bedplate()

    assert done.code == 2
    assert "Usage:" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--port", "99999"), "--port"),
        (("serve", "--workers", "0"), "--workers"),
        (("users", "create"), "EMAIL"),
        (("sevre",), "sevre"),
    ],
)
def test_wrong_usage_names_what_is_wrong(
    bedplate: Any, arguments: tuple[str, ...], message: str
) -> None:
    done = bedplate(*arguments)

    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_bug_is_not_hidden_behind_one_line(
    bedplate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bedplate.cli.migrate.run", broken)

    with pytest.raises(ZeroDivisionError):
        bedplate("migrate")

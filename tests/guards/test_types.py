"""mypy and ruff are configured to reject bad types and style."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent

UNTYPED = """\
def double(number):
    return number * 2


def half(number: int) -> int:
    return number / 2


def anything(value: list) -> str:
    return value


unused = 1  # type: ignore[assignment]
silent = half("2")  # type: ignore
"""
TYPE_ERRORS = {
    "no-untyped-def",
    "return-value",
    "type-arg",
    "unused-ignore",
    "ignore-without-code",
}

UNTIDY = """\
import os
from bedplate.core.clock import *
def check(value = []):
    try:
        eval(value)
    except:
        pass
password = "h4rd-to-guess"
"""
STYLE_ERRORS = {
    "F401",
    "F403",
    "B006",
    "S307",
    "E722",
    "S110",
    "ANN001",
    "ANN201",
    "S105",
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program, *rest = arguments
    return subprocess.run(
        [PROGRAMS / program, *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    return tmp_path / "planted.py"


def test_planted_type_errors_are_rejected(planted: Path) -> None:
    planted.write_text(UNTYPED)

    result = run("mypy", "--cache-dir", planted.parent, planted)

    assert result.returncode == 1
    codes = {line.rpartition("[")[2].rstrip("]") for line in result.stdout.splitlines()}
    assert codes >= TYPE_ERRORS, result.stdout


def test_planted_bad_style_is_rejected(planted: Path) -> None:
    planted.write_text(UNTIDY)

    settings = ("--no-cache", "--config", ROOT / "pyproject.toml")
    checked = run("ruff", "check", *settings, "--output-format", "concise", planted)
    formatted = run("ruff", "format", "--check", *settings, planted)

    assert (checked.returncode, formatted.returncode) == (1, 1)
    codes = {line.split()[1] for line in checked.stdout.splitlines() if ": " in line}
    assert codes >= STYLE_ERRORS, checked.stdout

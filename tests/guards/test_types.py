"""Types and style: what mypy and ruff are set to refuse, seen to be refused."""

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


def anything(given: list) -> str:
    return given


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


def test_planted_missing_types_are_refused(planted: Path) -> None:
    planted.write_text(UNTYPED)

    done = run("mypy", "--cache-dir", planted.parent, planted)

    assert done.returncode == 1
    found = {line.rpartition("[")[2].rstrip("]") for line in done.stdout.splitlines()}
    assert found >= TYPE_ERRORS, done.stdout


def test_planted_bad_style_is_refused(planted: Path) -> None:
    planted.write_text(UNTIDY)

    settings = ("--no-cache", "--config", ROOT / "pyproject.toml")
    checked = run("ruff", "check", *settings, "--output-format", "concise", planted)
    formatted = run("ruff", "format", "--check", *settings, planted)

    assert (checked.returncode, formatted.returncode) == (1, 1)
    found = {line.split()[1] for line in checked.stdout.splitlines() if ": " in line}
    assert found >= STYLE_ERRORS, checked.stdout

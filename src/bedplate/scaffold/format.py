"""Formats generated files with the project's ruff settings."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bedplate.scaffold.plan import Plan, ScaffoldError


def formatted(plan: Plan, package: str) -> Plan:
    """Return the plan with formatted files.

    Ruff runs in a temporary folder, so that nothing is written to the project yet.

    Raises:
        ScaffoldError: ruff isn't installed, or rejects a file.
    """
    with tempfile.TemporaryDirectory(prefix="bedplate-") as name:
        staged = Plan(Path(name), new=dict(plan.files))
        staged.new["pyproject.toml"] = (plan.folder / "pyproject.toml").read_text()
        staged.write()
        # The temporary folder holds no packages, so ruff can't find out by itself
        # which imports are the project's own.
        first_party = f"lint.isort.known-first-party = ['{package}', 'factories']"
        format_files(staged.folder, ".", "--config", first_party)
        return Plan(plan.folder, _read(staged, plan.new), _read(staged, plan.changed))


def _read(staged: Plan, files: Mapping[str, str]) -> dict[str, str]:
    return {path: (staged.folder / path).read_text() for path in files}


def format_files(folder: Path, path: str, *options: str) -> None:
    """Sort the imports of files, remove unused ones, and format the files in place.

    Raises:
        ScaffoldError: ruff isn't installed, or rejects a file.
    """
    if find_spec("ruff") is None:
        raise ScaffoldError("ruff isn't installed. `bedplate[dev]` has it: `uv sync`")
    for command in (["check", "--fix", "--select", "I,F401"], ["format"]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command,
                *options,
                "--no-cache",
                "-q",
                path,
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ScaffoldError(f"ruff rejects the generated code: {done.stdout}")

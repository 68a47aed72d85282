"""What is written looks as the project's ruff would have it."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bedplate.scaffold.plan import Plan, ScaffoldError


def formatted(plan: Plan, package: str) -> Plan:
    """The plan with its imports sorted and its lines broken, in a folder of its own.

    Raises:
        ScaffoldError: ruff isn't installed, or refuses a file.
    """
    with tempfile.TemporaryDirectory(prefix="bedplate-") as name:
        staged = Plan(Path(name), new=dict(plan.files))
        staged.new["pyproject.toml"] = (plan.folder / "pyproject.toml").read_text()
        staged.write()
        ours = f"lint.isort.known-first-party = ['{package}', 'factories']"
        format_files(staged.folder, ".", "--config", ours)
        return Plan(plan.folder, _read(staged, plan.new), _read(staged, plan.changed))


def _read(staged: Plan, files: Mapping[str, str]) -> dict[str, str]:
    return {path: (staged.folder / path).read_text() for path in files}


def format_files(folder: Path, what: str, *options: str) -> None:
    """Put files of a folder right where they are.

    Raises:
        ScaffoldError: ruff isn't installed, or refuses a file.
    """
    if find_spec("ruff") is None:
        raise ScaffoldError("ruff is needed, which `bedplate[dev]` brings: `uv sync`")
    for act in (["check", "--fix", "--select", "I,F401"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *act, *options, "--no-cache", "-q", what],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ScaffoldError(f"ruff refuses what would be written: {done.stdout}")

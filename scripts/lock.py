"""Pin every version that the project resolves to, direct or not, in pyproject.toml.

uv.lock names the registry that it was made with, so it stays out of the repository;
the versions go into `[tool.uv] constraint-dependencies`, which hold wherever and with
whatever index the project is installed.
"""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "uv.lock"
BLOCK = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def main() -> None:
    pinned = PYPROJECT.read_text()
    try:
        write_constraints([])  # or the old pins would hold the upgrade back
        uv_lock("--upgrade")
        write_constraints(resolved(tomllib.loads(LOCK.read_text())))
        uv_lock()
    except BaseException:
        PYPROJECT.write_text(pinned)
        raise


def uv_lock(*arguments: str) -> None:
    uv = os.environ.get("UV", "uv")  # `uv run` says which uv it is
    subprocess.run([uv, "lock", *arguments], cwd=ROOT, check=True)


def resolved(lock: dict[str, Any]) -> list[str]:
    """`name==version` of each package, with its markers if versions differ by them."""
    return [
        f"{package['name']}=={package['version']}{marker}"
        for package in lock["package"]
        if "registry" in package["source"]
        for marker in _markers(package)
    ]


def _markers(package: dict[str, Any]) -> list[str]:
    return [f" ; {m}" for m in package.get("resolution-markers", ())] or [""]


def write_constraints(constraints: list[str]) -> None:
    lines = "".join(f'  "{constraint}",\n' for constraint in constraints)
    text, found = BLOCK.subn(
        lambda _: f"constraint-dependencies = [\n{lines}]\n", PYPROJECT.read_text()
    )
    if found != 1:
        raise SystemExit("pyproject.toml has no [tool.uv] constraint-dependencies")
    PYPROJECT.write_text(text)


if __name__ == "__main__":
    main()

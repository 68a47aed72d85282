"""Upgrade all dependencies, direct and indirect, and pin them in pyproject.toml.

uv.lock contains the URL of the registry it was created with, so it isn't committed.
The versions go into `[tool.uv] constraint-dependencies`, which apply with every index.
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
        write_constraints([])  # the old pins would prevent the upgrade
        uv_lock("--upgrade")
        write_constraints(resolved(tomllib.loads(LOCK.read_text())))
        uv_lock()
    except BaseException:
        PYPROJECT.write_text(pinned)
        raise


def uv_lock(*arguments: str) -> None:
    uv = os.environ.get("UV", "uv")  # set by `uv run`
    subprocess.run([uv, "lock", *arguments], cwd=ROOT, check=True)


def resolved(lock: dict[str, Any]) -> list[str]:
    """Return `name==version` of each package, with markers if it has several."""
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
    text, replaced = BLOCK.subn(
        lambda _: f"constraint-dependencies = [\n{lines}]\n", PYPROJECT.read_text()
    )
    if replaced != 1:
        raise SystemExit("pyproject.toml has no [tool.uv] constraint-dependencies")
    PYPROJECT.write_text(text)


if __name__ == "__main__":
    main()

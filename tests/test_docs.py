"""Documentation is true: links lead somewhere, examples run, references are fresh."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
KEY = "a key for tests, at least 32 bytes long"

ASK = """
import asyncio, httpx
from bedplate.testing.plugin import client_for

async def ask():
    async with client_for(app) as client:
        for path in {paths}:
            answer = await client.get(path)
            assert answer.status_code == 401, answer.text
    print(sorted(app.openapi()["paths"]))

asyncio.run(ask())
"""


def python_of(page: Path) -> str:
    """The page's runnable example: its longest block of Python."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(max(blocks, key=len))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("page", "path"),
    [("README.md", "/greetings/mine"), ("docs/tutorial/first-service.md", "/notes")],
)
def test_the_example_of_a_module_runs(tmp_path: Path, page: str, path: str) -> None:
    script = tmp_path / "example.py"
    script.write_text(python_of(ROOT / page) + ASK.format(paths=[path]))

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={"BEDPLATE_SECRET_KEY": KEY, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"/api/v1{path}" in done.stdout


def test_the_reference_is_what_the_code_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr

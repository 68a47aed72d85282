"""Documentation is correct: links work, examples run, references are current."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bedplate.cli import app as commands
from bedplate.cli import register_commands
from bedplate.config import PREFIX, Settings
from bedplate.django_site.setup import set_up
from bedplate.example import BUILT_IN

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "docs").rglob("*.md"),
]
KEY = "a key for tests, at least 32 bytes long"

# The beginning of a command line in a copy of the repository.
IN_A_COPY = re.compile(
    r"^(python3 -m pip install uv && )?python3 -m uv run (--no-dev )?"
)
ASSETS = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?(//|https?:)"""
)


def blocks_of(page: Path, *languages: str) -> list[str]:
    pattern = rf"^ *```(?:{'|'.join(languages)})\n(.*?)^ *```"
    return re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> Iterator[list[str]]:
    """Yield the words of each `bedplate …` command in a page's shell blocks."""
    for block in blocks_of(page, "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            command = IN_A_COPY.sub("", line.strip().removeprefix("$ "))
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words[:1] == ["bedplate"]:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_reference_matches_the_code(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_is_valid(page: Path) -> None:
    for block in blocks_of(page, "json"):
        assert json.loads(block.replace("…", ""))
    for block in blocks_of(page, "toml"):
        assert tomllib.loads(block)
    for block in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and is_of_bedplate(node.module):
                module = import_module_of_bedplate(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def import_module_of_bedplate(name: str) -> Any:
    """Import a module, after setting Django up if the module needs it."""
    if name.startswith("bedplate.django_site"):
        settings = Settings.load(_env_file=None, secret_key=KEY)
        set_up(settings, BUILT_IN)
    return import_module(name)


def is_of_bedplate(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == "bedplate"


def test_the_page_on_keys_runs_from_top_to_bottom(tmp_path: Path) -> None:
    # In one shell: the page changes its secret keys and its algorithm.
    page = ROOT / "docs" / "how-to" / "rotate-keys.md"
    script = "set -eu\nbedplate migrate\n" + "\n".join(blocks_of(page, "sh"))

    process = subprocess.run(
        ["bash", "-c", script],  # noqa: S607, bash from PATH
        cwd=tmp_path,
        env={
            "BEDPLATE_SECRET_KEY": KEY.replace(",", ""),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert process.returncode == 0, process.stdout + process.stderr
    assert "BEDPLATE_PREVIOUS_SECRET_KEYS    (1 set, hidden)" in process.stdout
    rotated = re.search(r"signed with (\w+), within a second", process.stdout)
    assert rotated is not None
    assert f"Revoked {rotated[1]}." in process.stdout
    assert re.search(
        r"^New tokens are signed with \w+\.$", process.stdout, re.MULTILINE
    )


def test_every_command_exists_with_its_options() -> None:
    register_commands()
    root: Any = typer.main.get_command(commands)
    commands_seen = set()
    for page in PAGES:
        for words in commands_of(page):
            command = root
            while (children := getattr(command, "commands", None)) and words:
                assert words[0] in children, f"{page.name}: bedplate {words[0]}"
                command = children[words.pop(0)]
            options = {opt for parameter in command.params for opt in parameter.opts}
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= options, f"{page.name}: {command.name} {used - options}"
            commands_seen.add(command.name)
    assert {"check", "create", "migrate", "serve"} <= commands_seen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists(page: Path) -> None:
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    if page.name == "configure.md":  # a wrong name, and a name that Kubernetes sets
        names |= {f"{PREFIX}SIGNUPS", f"{PREFIX}SERVICE_HOST"}

    assert {*re.findall(rf"{PREFIX}[A-Z][A-Z_]*[A-Z]", page.read_text())} <= names


def test_the_site_is_complete_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(
        list((ROOT / "docs").rglob("*.md"))
    )  # plus the page for 404
    assert [p.name for p in pages if ASSETS.search(p.read_text())] == []
    styles = "".join(path.read_text() for path in tmp_path.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles) == []


def test_an_asset_from_elsewhere_is_detected() -> None:
    assert ASSETS.search(
        '<link rel="stylesheet" href="https://fonts.example.com/a.css">'
    )
    assert ASSETS.search("<script src=//cdn.example.com/a.js></script>")
    assert not ASSETS.search('<script src="assets/a.js"></script>')

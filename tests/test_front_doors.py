"""The front doors: what is documented can be imported, and nothing else is needed."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "imports.md"
PACKAGES = ("bedplate", "bedplate.django_site", "bedplate.testing")


def documented(package: str) -> list[str]:
    section = PAGE.read_text().partition(f"## `{package}`\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_documented_names_are_those_of_the_package(package: str) -> None:
    names = import_module(package).__all__

    assert len(names) > 10
    assert sorted(documented(package)) == sorted(names)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_documented_name_has_a_text(package: str) -> None:
    section = PAGE.read_text().partition(f"## `{package}`\n")[2].partition("\n## ")[0]

    without_text = re.findall(r"^\| `(\w+)` \|  \|$", section, re.MULTILINE)
    assert len(without_text) <= 5, without_text


@pytest.mark.parametrize("package", ["bedplate", "bedplate.testing"])
def test_every_name_can_be_imported(package: str) -> None:
    module = import_module(package)

    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018


def imports(text: str) -> Iterator[str]:
    for match in re.finditer(r"^\s*from (bedplate[\w.]*) import", text, re.MULTILINE):
        yield match[1]


def test_docs_examples_and_templates_use_the_front_doors_only() -> None:
    files = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.py")),
        *sorted((ROOT / "src/bedplate/scaffold/templates").rglob("*.jinja")),
    ]

    others = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imports(path.read_text())
        if name not in PACKAGES
    }
    assert others == set()


def test_a_planted_import_is_found() -> None:
    text = "from bedplate import Module\nfrom bedplate.jobs.store import JobStore\n"

    assert list(imports(text)) == ["bedplate", "bedplate.jobs.store"]

"""`[tool.uv] constraint-dependencies` pins every installed package."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def read_pyproject() -> tuple[list[Requirement], dict[str, Requirement]]:
    """Return the direct requirements of the project, and the pins."""
    project = tomllib.loads(PYPROJECT.read_text())
    requirements = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
    ]
    pins = map(Requirement, project["tool"]["uv"]["constraint-dependencies"])
    return list(map(Requirement, requirements)), {
        canonicalize_name(pin.name): pin for pin in pins if _applies(pin)
    }


def _applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def installed_closure(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Return the installed versions of requirements and of their dependencies."""
    closure: dict[str, str] = {}
    waiting = [(r, frozenset(r.extras)) for r in requirements if _applies(r)]
    visited = set()
    while waiting:
        requirement, extras = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extras) in visited:
            continue
        visited.add((name, extras))
        installed = distribution(name)
        if name != "bedplate":  # it names its own extras
            closure[name] = installed.version
        dependencies = map(Requirement, installed.requires or ())
        waiting += [
            (r, frozenset(r.extras)) for r in dependencies if _applies(r, extras)
        ]
    return closure


def test_every_installed_version_is_the_pinned_one() -> None:
    requirements, pins = read_pyproject()

    versions = installed_closure(requirements)

    # A dependency of FastAPI: indirect ones are checked too.
    assert "starlette" in versions
    assert {name: f"=={version}" for name, version in versions.items()} == {
        name: str(pins[name].specifier) if name in pins else "not pinned: make lock"
        for name in versions
    }


def test_pyproject_names_no_registry() -> None:
    text = PYPROJECT.read_text()

    assert "://" not in text.partition("[tool.uv]")[2]
    assert "[[tool.uv.index]]" not in text

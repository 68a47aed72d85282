"""`[tool.uv] constraint-dependencies` pins everything that is installed for us."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def read() -> tuple[list[Requirement], dict[str, Requirement]]:
    """What the project asks for directly, and the pins."""
    project = tomllib.loads(PYPROJECT.read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pinned = map(Requirement, project["tool"]["uv"]["constraint-dependencies"])
    return list(map(Requirement, asked)), {
        canonicalize_name(pin.name): pin for pin in pinned if _applies(pin)
    }


def _applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def installed_closure(asked: Iterable[Requirement]) -> dict[str, str]:
    """Name and installed version of what these need, directly or not."""
    closure: dict[str, str] = {}
    waiting = [(r, frozenset(r.extras)) for r in asked if _applies(r)]
    seen = set()
    while waiting:
        requirement, extras = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found = distribution(name)
        if name != "bedplate":  # which names its own extras
            closure[name] = found.version
        needed = map(Requirement, found.requires or ())
        waiting += [(r, frozenset(r.extras)) for r in needed if _applies(r, extras)]
    return closure


def test_every_installed_version_is_the_pinned_one() -> None:
    asked, pins = read()

    installed = installed_closure(asked)

    assert "starlette" in installed  # by way of FastAPI: not only what is asked for
    assert {name: f"=={version}" for name, version in installed.items()} == {
        name: str(pins[name].specifier) if name in pins else "not pinned: make lock"
        for name in installed
    }


def test_no_registry_is_named() -> None:
    text = PYPROJECT.read_text()

    assert "://" not in text.partition("[tool.uv]")[2]
    assert "[[tool.uv.index]]" not in text

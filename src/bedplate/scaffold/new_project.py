"""A new project: a small package that depends on Bedplate."""

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bedplate.scaffold.names import check_project
from bedplate.scaffold.plan import Plan, ScaffoldError
from bedplate.scaffold.render import render_folder

CI_FILES = {"github": ".github/workflows/ci.yml", "none": None}
_TITLE = re.compile(r"[\w .,'&+-]{1,50}")


@dataclass(frozen=True, kw_only=True)
class ProjectSpec:
    """The arguments of `bedplate new`."""

    name: str
    title: str
    folder: Path
    django: bool = True
    ci: str = "github"
    source: Path | None = None
    """A copy of Bedplate's repository to depend on, instead of a release."""

    @property
    def package(self) -> str:
        return check_project(self.name)


def title_of(name: str) -> str:
    """Return the default title for a name: "My shop" for `my-shop`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def plan_project(spec: ProjectSpec) -> Plan:
    """Return all the files of a new project.

    Raises:
        ScaffoldError: a name is wrong, or the folder isn't empty.
    """
    package = spec.package
    if not _TITLE.fullmatch(spec.title):
        raise ScaffoldError(
            f"a title has 1 to 50 letters, digits, spaces and _.,'&+- only, "
            f"not {spec.title!r}"
        )
    if spec.folder.exists() and (
        not spec.folder.is_dir() or any(spec.folder.iterdir())
    ):
        raise ScaffoldError(
            f"{spec.folder} exists already and is not an empty folder: choose another "
            "with --into"
        )
    if spec.ci not in CI_FILES:
        names = ", ".join(CI_FILES)
        raise ScaffoldError(f"the CI must be one of {names}, not {spec.ci!r}")
    values = {
        "name": spec.name,
        "package": package,
        "title": spec.title,
        "django": spec.django,
        "source": _checked_source(spec.source),
        **_versions(),
    }
    files = render_folder("project", values)
    for ci, path in CI_FILES.items():
        if ci != spec.ci and path is not None:
            del files[path]
    return Plan(spec.folder, new=files)


def _versions() -> dict[str, str]:
    """Return the installed version, and the next one that may break a project."""
    installed = version("bedplate")
    major, minor, *_ = map(int, re.findall(r"\d+", installed))
    return {"version": installed, "next_version": f"{major}.{minor + 1}"}


def _checked_source(source: Path | None) -> str | None:
    if source is None:
        return None
    if not (source / "src" / "bedplate").is_dir():
        raise ScaffoldError(f"{source} is not a copy of Bedplate's repository")
    return source.resolve().as_posix()

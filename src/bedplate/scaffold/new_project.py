"""A new project: a small package that depends on bedplate."""

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
    """What `bedplate new` asks for."""

    name: str
    title: str
    folder: Path
    django: bool = True
    ci: str = "github"
    source: Path | None = None
    """A copy of bedplate's own repository, in place of a release."""

    @property
    def package(self) -> str:
        return check_project(self.name)


def title_of(name: str) -> str:
    """`my-shop` is called My shop unless one says otherwise."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def plan_project(spec: ProjectSpec) -> Plan:
    """All the files of a new project.

    Raises:
        ScaffoldError: a name is wrong, or the folder holds something already.
    """
    package = spec.package
    if not _TITLE.fullmatch(spec.title):
        raise ScaffoldError(
            f"a title is 1 to 50 letters, digits and .,'&+- : {spec.title!r}"
        )
    if spec.folder.exists() and (
        not spec.folder.is_dir() or any(spec.folder.iterdir())
    ):
        raise ScaffoldError(f"{spec.folder} is there already, and not empty")
    if spec.ci not in CI_FILES:
        raise ScaffoldError(f"CI is one of {', '.join(CI_FILES)}, not {spec.ci!r}")
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
    """The version that runs, and the first that may break what relies on it."""
    ours = version("bedplate")
    major, minor, *_ = map(int, re.findall(r"\d+", ours))
    return {"version": ours, "next_version": f"{major}.{minor + 1}"}


def _checked_source(source: Path | None) -> str | None:
    if source is None:
        return None
    if not (source / "src" / "bedplate").is_dir():
        raise ScaffoldError(f"{source} is no copy of bedplate's repository")
    return source.resolve().as_posix()

"""What can't be made is refused in one line, and nothing is written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedplate.loader import ProjectError
from bedplate.modules import BUILT_IN
from bedplate.scaffold.existing import ExistingProject
from bedplate.scaffold.new_module import ModuleSpec, plan_module
from bedplate.scaffold.new_project import ProjectSpec, plan_project
from bedplate.scaffold.plan import Plan, ScaffoldError

Files = Callable[[], dict[Path, bytes]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Shop", "is of a-z, 0-9 and single _"),
        ("1shop", "is of a-z, 0-9 and single _"),
        ("shop__two", "is of a-z, 0-9 and single _"),
        ("../shop", "is of a-z, 0-9 and single _"),
        ("s" * 25, "has at most 24 letters"),
        ("class", "is a keyword"),
        ("match", "is a keyword"),
        ("json", "a Python package of that name"),
        ("bedplate", "a Python package of that name"),
        ("pytest", "a Python package of that name"),
    ],
)
def test_a_projects_name_is_checked(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(ScaffoldError, match=re.escape(told)):
        plan_project(ProjectSpec(name=name, title="Shop", folder=tmp_path / "shop"))


def test_a_ci_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="one of github, none, not 'jenkins'"):
        plan_project(
            ProjectSpec(name="shop", title="Shop", folder=tmp_path, ci="jenkins")
        )


def test_a_source_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    spec = ProjectSpec(
        name="shop", title="Shop", folder=tmp_path / "shop", source=tmp_path
    )
    with pytest.raises(ScaffoldError, match="is no copy of bedplate's repository"):
        plan_project(spec)


@pytest.mark.parametrize("title", ["", 'a"b', "a\nb", "{{ 1 }}", "x" * 51])
def test_a_projects_title_is_checked(tmp_path: Path, title: str) -> None:
    with pytest.raises(ScaffoldError, match="a title is"):
        plan_project(ProjectSpec(name="shop", title=title, folder=tmp_path / "shop"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Invoices", "is of a-z, 0-9 and single _"),
        ("invoice", "a plural: 'invoices', not 'invoice'?"),
        ("boxs", "a plural: 'boxes', not 'boxs'?"),
        ("equipment", "is one and many: give --singular"),
        ("users", "is a table, a module or a Django app already"),
        ("sessions", "is a table, a module or a Django app already"),
        ("emails", "is a table, a module or a Django app already"),
        ("workflow_events", "is a table, a module or a Django app already"),
        ("django_things", "is a table, a module or a Django app already"),
        ("messages", "is a table, a module or a Django app already"),
    ],
)
def test_a_modules_name_is_checked(
    project: ExistingProject, files: Files, name: str, told: str
) -> None:
    before = files()

    with pytest.raises(ScaffoldError, match=re.escape(told)):
        plan_module(project, BUILT_IN, ModuleSpec(name=name, fields=["number:str"]))

    assert files() == before


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["Number:str"], "is of a-z, 0-9 and single _"),
        (["class:str"], "is a keyword"),
        (["order:int"], "is a word of SQL"),
        (["id:int"], "every row has"),
        (["metadata:json"], "every row has"),
        (["number:str", "owner:ref(users)"], "every row has"),
        (["model_name:str"], "every row has"),
        (["input:str"], "a name of Python's own"),
        (["number:str", "customer:ref(planets)"], "no table 'planets'; there are"),
        (["number:str", "event:ref(audit_events)"], "tests/factories/audit.py"),
        (["customer:ref(users)"], "at least one field besides references"),
        ([""], "at least one field besides references"),
        (["number"], "expected `:` and a type"),
    ],
)
def test_a_modules_fields_are_checked(
    project: ExistingProject, files: Files, fields: list[str], told: str
) -> None:
    before = files()

    with pytest.raises(ScaffoldError, match=re.escape(told)):
        plan_module(project, BUILT_IN, ModuleSpec(name="invoices", fields=fields))

    assert files() == before


def test_there_has_to_be_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="`bedplate new` makes one"):
        ExistingProject.find(tmp_path)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()

    with pytest.raises(ScaffoldError, match="is there already, and not empty"):
        plan_project(ProjectSpec(name="shop", title="Shop", folder=tmp_path))


@pytest.mark.parametrize(
    "text", ["", "MODULES = make()\n", "OTHERS = (1, 2)\n"], ids=["empty", "call", "no"]
)
def test_a_list_of_modules_that_is_not_ours_is_left_alone(
    project: ExistingProject, text: str
) -> None:
    path = project.folder / project.source / "modules" / "__init__.py"
    path.write_text(text)

    with pytest.raises(ScaffoldError, match=re.escape("expected `MODULES = (…)`")):
        project.registered("invoices")

    assert path.read_text() == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("MODULES = (*BUILT_IN,)\n", "MODULES = (*BUILT_IN, invoices)\n"),
        ("MODULES = (\n    one,\n)\n", "MODULES = (\n    one, invoices)\n"),
        ("MODULES: T = [é, two]  # 1\n", "MODULES: T = [é, two, invoices]  # 1\n"),
    ],
)
def test_a_module_is_put_at_the_end_of_the_list(
    project: ExistingProject, before: str, after: str
) -> None:
    path = project.folder / project.source / "modules" / "__init__.py"
    path.write_text(f"import one\n\n{before}")

    added = "from planted_shop.modules.invoices import module as invoices\n"
    assert project.registered("invoices") == f"import one\n{added}\n{after}"


def test_a_plan_writes_all_or_nothing(tmp_path: Path, files: Files) -> None:
    (tmp_path / "changed").write_text("before")
    (tmp_path / "file").touch()
    before = files()
    # The last can't be written: its folder is a file.
    plan = Plan(tmp_path, {"new/one": "1", "file/two": "2"}, {"changed": "after"})

    with pytest.raises(ScaffoldError, match="file"):
        plan.write()

    assert files() == before


def test_a_plan_overwrites_nothing(tmp_path: Path, files: Files) -> None:
    (tmp_path / "kept").write_text("mine")
    before = files()
    plan: Any = Plan(tmp_path, {"new": "1", "kept": "2"})

    with pytest.raises(ScaffoldError, match="kept is there already"):
        plan.write()

    assert files() == before

"""Invalid names, fields and folders are refused in one line; nothing is written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedplate.loader import ProjectError
from bedplate.modules import CORE
from bedplate.scaffold.existing import ExistingProject
from bedplate.scaffold.new_module import ModuleSpec, plan_module
from bedplate.scaffold.new_project import ProjectSpec, plan_project
from bedplate.scaffold.plan import Plan, ScaffoldError

Files = Callable[[], dict[Path, bytes]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Shop", "only a-z, 0-9 and single _"),
        ("1shop", "only a-z, 0-9 and single _"),
        ("shop__two", "only a-z, 0-9 and single _"),
        ("../shop", "only a-z, 0-9 and single _"),
        ("s" * 25, "has at most 24 letters"),
        ("class", "is a keyword"),
        ("match", "is a keyword"),
        ("json", "a Python package of this name"),
        ("bedplate", "a Python package of this name"),
        ("pytest", "a Python package of this name"),
    ],
)
def test_a_projects_name_is_checked(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ScaffoldError, match=re.escape(message)):
        plan_project(ProjectSpec(name=name, title="Shop", folder=tmp_path / "shop"))


def test_an_unknown_ci_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="one of github, none, not 'jenkins'"):
        plan_project(
            ProjectSpec(name="shop", title="Shop", folder=tmp_path, ci="jenkins")
        )


def test_a_source_that_is_not_the_repository_is_refused(tmp_path: Path) -> None:
    spec = ProjectSpec(
        name="shop", title="Shop", folder=tmp_path / "shop", source=tmp_path
    )
    with pytest.raises(ScaffoldError, match="is not a copy of Bedplate's repository"):
        plan_project(spec)


@pytest.mark.parametrize("title", ["", 'a"b', "a\nb", "{{ 1 }}", "x" * 51])
def test_a_projects_title_is_checked(tmp_path: Path, title: str) -> None:
    with pytest.raises(ScaffoldError, match="a title has"):
        plan_project(ProjectSpec(name="shop", title=title, folder=tmp_path / "shop"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Invoices", "only a-z, 0-9 and single _"),
        ("invoice", "a plural: 'invoices', not 'invoice'?"),
        ("boxs", "a plural: 'boxes', not 'boxs'?"),
        ("equipment", "set the singular with --singular"),
        ("users", "is a table, a module or a Django app already"),
        ("sessions", "is a table, a module or a Django app already"),
        ("emails", "is a table, a module or a Django app already"),
        ("workflow_events", "is a table, a module or a Django app already"),
        ("django_things", "is a table, a module or a Django app already"),
        ("messages", "is a table, a module or a Django app already"),
    ],
)
def test_a_modules_name_is_checked(
    project: ExistingProject, files: Files, name: str, message: str
) -> None:
    before = files()

    with pytest.raises(ScaffoldError, match=re.escape(message)):
        plan_module(project, CORE, ModuleSpec(name=name, fields=["number:str"]))

    assert files() == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["Number:str"], "only a-z, 0-9 and single _"),
        (["class:str"], "is a keyword"),
        (["order:int"], "is a keyword of SQL"),
        (["id:int"], "is reserved"),
        (["metadata:json"], "is reserved"),
        (["number:str", "owner:ref(users)"], "is reserved"),
        (["model_name:str"], "is reserved"),
        (["input:str"], "a built-in of Python"),
        (["number:str", "customer:ref(planets)"], "'planets' does not exist. Use one"),
        (["number:str", "event:ref(audit_events)"], "tests/factories/audit.py"),
        (["customer:ref(users)"], "at least one field besides references"),
        ([""], "at least one field besides references"),
        (["number"], "expected `:` and a type"),
    ],
)
def test_a_modules_fields_are_checked(
    project: ExistingProject, files: Files, fields: list[str], message: str
) -> None:
    before = files()

    with pytest.raises(ScaffoldError, match=re.escape(message)):
        plan_module(project, CORE, ModuleSpec(name="invoices", fields=fields))

    assert files() == before


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="`bedplate new` creates one"):
        ExistingProject.find(tmp_path)


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        ScaffoldError, match="exists already and is not an empty folder"
    ):
        plan_project(ProjectSpec(name="shop", title="Shop", folder=tmp_path))


@pytest.mark.parametrize(
    "text", ["", "MODULES = make()\n", "OTHERS = (1, 2)\n"], ids=["empty", "call", "no"]
)
def test_an_unknown_list_of_modules_is_left_alone(
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
        ("MODULES = (*CORE,)\n", "MODULES = (*CORE, invoices)\n"),
        ("MODULES = (\n    one,\n)\n", "MODULES = (\n    one, invoices)\n"),
        ("MODULES: T = [é, two]  # 1\n", "MODULES: T = [é, two, invoices]  # 1\n"),
    ],
)
def test_a_module_is_appended_to_the_list(
    project: ExistingProject, before: str, after: str
) -> None:
    path = project.folder / project.source / "modules" / "__init__.py"
    path.write_text(f"import one\n\n{before}")

    import_line = "from planted_shop.modules.invoices import module as invoices\n"
    assert project.registered("invoices") == f"import one\n{import_line}\n{after}"


def test_a_plan_writes_all_or_nothing(tmp_path: Path, files: Files) -> None:
    (tmp_path / "changed").write_text("before")
    (tmp_path / "file").touch()
    before = files()
    # The second file can't be written: its folder is a file.
    plan = Plan(tmp_path, {"new/one": "1", "file/two": "2"}, {"changed": "after"})

    with pytest.raises(ScaffoldError, match="file"):
        plan.write()

    assert files() == before


def test_a_plan_overwrites_nothing(tmp_path: Path, files: Files) -> None:
    (tmp_path / "old").write_text("mine")
    before = files()
    plan: Any = Plan(tmp_path, {"new": "1", "old": "2"})

    with pytest.raises(ScaffoldError, match="old exists already"):
        plan.write()

    assert files() == before

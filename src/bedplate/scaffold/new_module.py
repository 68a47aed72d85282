"""A new module: renders its files from the fields, formats and registers them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import inflection

from bedplate.database import Base
from bedplate.database.search import SEARCH_INDEX
from bedplate.jobs.tables import ENGINE_TABLES
from bedplate.module import Module
from bedplate.scaffold.existing import MODULES_FILE, ExistingProject
from bedplate.scaffold.fields import parse_fields
from bedplate.scaffold.format import formatted
from bedplate.scaffold.names import (
    TAKEN_FIELDS,
    TAKEN_MODULES,
    check_field,
    check_module,
)
from bedplate.scaffold.plan import Plan, ScaffoldError
from bedplate.scaffold.render import render_folder
from bedplate.scaffold.views import ModuleField, Target

MOST_BYTES = 63
"""The longest name in PostgreSQL."""


@dataclass(frozen=True, kw_only=True)
class ModuleSpec:
    """The arguments of `bedplate add module`."""

    name: str
    fields: Sequence[str]
    singular: str | None = None
    jobs: bool = False


def plan_module(
    project: ExistingProject, modules: Sequence[Module], spec: ModuleSpec
) -> Plan:
    """Return all the files of a new module, formatted.

    Raises:
        ScaffoldError: a name or a field is wrong, or a file exists already.
    """
    singular = _check_names(spec, modules)
    entity = inflection.camelize(singular)
    targets = _targets(modules)
    fields = [
        ModuleField(
            **vars(field), entity=entity, target=targets.get(field.refers_to or "")
        )
        for field in parse_fields(spec.fields)
    ]
    _check_fields(project, fields, targets)
    values = _values(project, modules, spec, singular, fields)
    new = render_folder("module", values)
    if not spec.jobs:
        del new[f"src/{project.package}/modules/{spec.name}/tasks.py"]
    if not values["rest"]:
        del new[f"src/{project.package}/modules/{spec.name}/viewsets.py"]
    new = {_in_project(project, path): text for path, text in new.items()}
    modules_file = f"{project.source}/{MODULES_FILE}"
    changed = {modules_file: project.registered(spec.name)}
    plan = Plan(project.folder, new, changed)
    plan.check()
    return formatted(plan, project.package)


def _check_names(spec: ModuleSpec, modules: Sequence[Module]) -> str:
    """Check the module's name, and return its singular."""
    used = {module.name for module in modules} | Base.metadata.tables.keys()
    singular = spec.singular or inflection.singularize(spec.name)
    check_module(spec.name, singular, used | ENGINE_TABLES | TAKEN_MODULES)
    return singular


def _targets(modules: Sequence[Module]) -> dict[str, Target]:
    """Return the models that a field may refer to, by table."""
    return {
        model.__tablename__: Target(
            table=model.__tablename__, module=module.name, entity=model.__name__
        )
        for module in modules
        for model in module.models
    }


def _check_fields(
    project: ExistingProject, fields: Sequence[ModuleField], tables: Iterable[str]
) -> None:
    if all(field.refers_to for field in fields):
        raise ScaffoldError("expected at least one field besides references")
    for field in fields:
        check_field(field.name, TAKEN_FIELDS)
        if field.refers_to and field.target is None:
            names = ", ".join(sorted(tables))
            raise ScaffoldError(
                f"the table {field.refers_to!r} does not exist. Use one of {names}"
            )
        if field.is_checked and field.target is not None:
            _check_factory(project, field.target)


def _check_factory(project: ExistingProject, target: Target) -> None:
    path = f"tests/factories/{target.module}.py"
    if not (project.folder / path).exists():
        factory = f"make_{target.singular}"
        raise ScaffoldError(
            f"the generated tests call `{factory}(client)` from {path}, which does not "
            "exist. Write it first"
        )


def _in_project(project: ExistingProject, path: str) -> str:
    return path.replace(f"src/{project.package}", project.source, 1)


def _values(
    project: ExistingProject,
    modules: Sequence[Module],
    spec: ModuleSpec,
    singular: str,
    fields: Sequence[ModuleField],
) -> dict[str, Any]:
    """Return the variables of the templates."""
    has_django = find_spec("django") is not None
    revision = project.next_revision(modules, f"create_{spec.name}")
    unique = [field for field in fields if field.is_unique]
    return {
        "package": project.package,
        "rest": has_django,
        "jobs": spec.jobs,
        "job": f"announce_{singular}",
        "fields": fields,
        "unique_fields": unique,
        "create_errors": [field.taken_error for field in unique],
        "create_raises": [
            *(["ValidationFailed"] if any(f.is_checked for f in fields) else []),
            *(field.taken_error for field in unique),
        ],
        "checked_fields": [field for field in fields if field.is_checked],
        "has_json": any(field.kind.python.startswith("dict") for field in fields),
        "revision": revision.id,
        "down_revision": revision.down,
        "revision_file": revision.file,
        **_names(spec.name, singular),
        **_lists(spec.name, fields),
        **_references(fields),
        **_test_values(fields),
    }


def _names(module: str, singular: str) -> dict[str, str]:
    """Return the singular and the plural in each form that the templates need."""
    words = module.replace("_", " ")
    title = singular.replace("_", " ")
    return {
        "module": module,
        "path": module.replace("_", "-"),
        "singular": singular,
        "entity": inflection.camelize(singular),
        "singular_title": title,
        "singular_upper": singular.upper(),
        "plural_words": words,
        "plural_title": words.capitalize(),
        "plural_upper": module.upper(),
        "article": _article(title),
    }


def _article(word: str) -> str:
    silent = ("hour", "honest", "honor", "heir")
    spoken = ("uni", "use", "usu", "eu", "one")
    vowel = word.startswith(tuple("aeiou")) and not word.startswith(spoken)
    return "an" if vowel or word.startswith(silent) else "a"


def _searched(module: str, fields: Sequence[ModuleField]) -> list[ModuleField]:
    """Return the fields of the search: as many as fit into their index's name."""
    searched: list[ModuleField] = []
    room = MOST_BYTES - len(f"ix_{module}{SEARCH_INDEX}")
    for field in fields:
        needed = len(f"_{field.name}")
        if field.kind.searchable and needed <= room:
            searched.append(field)
            room -= needed
    return searched


def _lists(module: str, fields: Sequence[ModuleField]) -> dict[str, Any]:
    """Return the list's orders, filters and search, and the indexes they need."""
    ordered = [field for field in fields if field.is_sortable]
    filtered = [field for field in fields if field.kind.filtered]
    searched = _searched(module, fields)
    orders = [["created_at", "id"]]
    orders += [[field.name, "id"] for field in ordered if not field.is_unique]
    others = [["owner_id", "created_at", "id"]]
    others += [
        [field.column_name]
        for field in fields
        if not field.is_unique and not field.is_sortable
        if field.refers_to or field.has_index
    ]
    names = ["created_at", *(field.name for field in ordered)]
    return {
        "filtered_fields": filtered,
        "searched_fields": searched,
        "searched_columns": _quoted([field.name for field in searched]),
        "orders": [_quoted(columns) for columns in orders],
        "other_indexes": [_quoted(columns) for columns in others],
        "sorts": _quoted([f"{sign}{name}" for name in names for sign in ("", "-")]),
        "search_help": f"Part of {' or '.join(field.title for field in searched)}.",
        "shown": _quoted([*(field.name for field in fields[:4]), "owner"]),
        "filters_shown": _quoted(
            [field.name for field in filtered if not field.refers_to]
        ),
    }


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _references(fields: Sequence[ModuleField]) -> dict[str, Any]:
    """Return what the module and its factory import from other modules."""
    targets = {f.target.table: f.target for f in fields if f.is_checked and f.target}
    values = [field.factory_value for field in fields if field.is_required]
    return {
        "requires": _quoted(["auth", *(target.module for target in targets.values())]),
        "targets": targets.values(),
        "needs_number": any("number" in value for value in values),
        "needs_me": any("my_id" in value for value in values),
        "needs_others": any("another_users_id" in value for value in values),
    }


def _test_values(fields: Sequence[ModuleField]) -> dict[str, Any]:
    refused = [
        (field.column_name, value)
        for field in fields
        for value in [*field.kind.refused, *([] if field.is_optional else ["None"])]
    ]
    defaults = {f.column_name: f.default for f in fields if not f.is_required}
    changed = next(field for field in fields if not field.refers_to)
    # Other types take several inputs in the admin's form, or another format.
    is_one_input = changed.kind.python in {"str", "int", "bool", "Decimal"}
    return {
        "refused": refused,
        "change": changed.change,
        "admin_change": f"{changed.name}={changed.changed_to}" if is_one_input else "",
        "defaults": repr(defaults) if defaults else "",
        "article_of": {field.name: _article(field.title) for field in fields},
    }

"""Checks the names of projects, modules and fields."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import inflection
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from bedplate.scaffold.plan import ScaffoldError

# Keeps every constraint's name within PostgreSQL's 63 bytes, and every revision id
# within Alembic's 32 characters.
MOST_LETTERS = 24
# Apps and tables of Django and other packages, whether they are installed or not.
TAKEN_MODULES = frozenset(
    ("admin", "contenttypes", "messages", "permissions", "groups", "staticfiles")
)
_FOREIGN = ("alembic_", "auth_", "bedplate_", "dbos_", "django_", "pg_", "sqlite_")
# Every row has these, or a base class of models and schemas, or a list's parameters.
TAKEN_FIELDS = frozenset(
    (
        *(
            "id",
            "owner",
            "owner_id",
            "created_at",
            "updated_at",
            "metadata",
            "registry",
        ),
        *("page", "limit", "cursor", "sort", "q"),
        *("create", "update", "response", "list_response", "list_params"),
        *("pk", "objects", "save", "delete", "clean", "full_clean", "check"),
        *("changes", "of", "copy", "json", "schema", "validate", "construct"),
        *("date", "datetime"),  # they would hide the types inside the class body
    )
)
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def check_project(name: str) -> str:
    """Return the package for a project's name: `my_shop` for `my-shop`.

    Raises:
        ScaffoldError: the name isn't valid, or a package has it already.
    """
    package = name.replace("-", "_")
    _check(package, "a project's name")
    existing = sys.stdlib_module_names | packages_distributions().keys() | {"bedplate"}
    if package in existing:
        raise ScaffoldError(f"{name!r}: a Python package of this name exists already")
    return package


def check_module(name: str, singular: str, taken: Iterable[str]) -> None:
    """Check a module's name: a plural such as `invoices`.

    It becomes a folder, a table and a path of the API.

    Raises:
        ScaffoldError: the name isn't valid, or is in use.
    """
    _check(name, "a module's name")
    if name in set(taken) or name.startswith(_FOREIGN):
        raise ScaffoldError(f"{name!r} is a table, a module or a Django app already")
    _check(singular, "a singular")
    plural = inflection.pluralize(singular)
    if plural != name and inflection.singularize(name) == singular:
        raise ScaffoldError(f"a module's name is a plural: {plural!r}, not {name!r}?")
    if singular == name:
        raise ScaffoldError(
            f"{name!r} is both singular and plural: set the singular with --singular"
        )


def check_field(name: str, taken: Iterable[str]) -> None:
    """Check a field's name. It becomes a column, an attribute and a name in JSON.

    Raises:
        ScaffoldError: the name isn't valid, or is reserved.
    """
    _check(name, "a field's name")
    if name in set(taken) or name.startswith("model_"):
        raise ScaffoldError(
            f"{name!r} is reserved: every row or every Django model has it"
        )
    if name in dir(builtins):
        raise ScaffoldError(f"{name!r} is a built-in of Python: choose another name")


def _check(name: str, role: str) -> None:
    if not _SNAKE.fullmatch(name):
        raise ScaffoldError(
            f"{role} starts with a letter and has only a-z, 0-9 and single _, "
            f"not {name!r}"
        )
    if len(name) > MOST_LETTERS:
        raise ScaffoldError(f"{role} has at most {MOST_LETTERS} letters: {name!r}")
    if name in RESERVED_WORDS:
        raise ScaffoldError(f"{name!r} is a keyword of SQL: choose another name")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ScaffoldError(f"{name!r} is a keyword of Python: choose another name")

"""Names: of projects, modules and fields, and what they may not be."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import inflection
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from bedplate.scaffold.plan import ScaffoldError

# With it every name of a constraint stays within PostgreSQL's 63 bytes, and a revision
# within Alembic's 32.
MOST_LETTERS = 24
# What Django and others call their apps and tables, whichever of them is installed.
TAKEN_MODULES = frozenset(
    ("admin", "contenttypes", "messages", "permissions", "groups", "staticfiles")
)
_FOREIGN = ("alembic_", "auth_", "bedplate_", "dbos_", "django_", "pg_", "sqlite_")
# Every row has them, or a base class or a list's query does.
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
        *("date", "datetime"),  # they would hide the type in the class's body
    )
)
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def check_project(name: str) -> str:
    """The package of a project's name: `my-shop` is `my_shop`.

    Raises:
        ScaffoldError: it can't be one.
    """
    package = name.replace("-", "_")
    _check(package, "a project's name")
    taken = sys.stdlib_module_names | packages_distributions().keys() | {"bedplate"}
    if package in taken:
        raise ScaffoldError(f"{name!r}: there is a Python package of that name already")
    return package


def check_module(name: str, singular: str, taken: Iterable[str]) -> None:
    """A module is a folder, a table and a path of the API: a plural, as `invoices`.

    Raises:
        ScaffoldError: it can't be one.
    """
    _check(name, "a module's name")
    if name in set(taken) or name.startswith(_FOREIGN):
        raise ScaffoldError(f"{name!r} is a table, a module or a Django app already")
    _check(singular, "what one is called")
    plural = inflection.pluralize(singular)
    if plural != name and inflection.singularize(name) == singular:
        raise ScaffoldError(f"a module's name is a plural: {plural!r}, not {name!r}?")
    if singular == name:
        raise ScaffoldError(f"{name!r} is one and many: give --singular as well")


def check_field(name: str, taken: Iterable[str]) -> None:
    """A field is a column, an attribute and a name in JSON.

    Raises:
        ScaffoldError: it can't be one.
    """
    _check(name, "a field's name")
    if name in set(taken) or name.startswith("model_"):
        raise ScaffoldError(
            f"{name!r} is a name that every row has, or Django gives it"
        )
    if name in dir(builtins):
        raise ScaffoldError(f"{name!r} is a name of Python's own: choose another")


def _check(name: str, what: str) -> None:
    if not _SNAKE.fullmatch(name):
        raise ScaffoldError(f"{what} is of a-z, 0-9 and single _, not {name!r}")
    if len(name) > MOST_LETTERS:
        raise ScaffoldError(f"{what} has at most {MOST_LETTERS} letters: {name!r}")
    if name in RESERVED_WORDS:
        raise ScaffoldError(f"{name!r} is a word of SQL: choose another")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ScaffoldError(f"{name!r} is a keyword of Python: choose another")

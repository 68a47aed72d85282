"""Schemas that accept or return the wrong values."""

import ast
import re
from collections.abc import Iterator

from bedplate.check.findings import Topic
from bedplate.check.index import ProjectIndex, bases_of, is_optional, last_part
from bedplate.check.project import Source
from bedplate.check.rules import Place, rule

_INPUT = re.compile(
    r"^(?!Admin)\w*?(Create|In|Patch|Register|Registration|SignUp|Update)$"
)
_CHANGE = re.compile(r"^(\w+?)(Update|Patch)(Request|Schema|In)?$")
PRIVILEGES = {
    "is_admin",
    "is_staff",
    "is_superuser",
    "permissions",
    "role",
    "roles",
    "scopes",
}


def schemas_of(source: Source, index: ProjectIndex) -> Iterator[ast.ClassDef]:
    """Yield the Pydantic classes of a file, judged by the names of their bases."""
    for node in source.classes:
        bases = bases_of(source, node)
        if node.name not in index.models and any(
            base in ("BaseModel", "SQLModel")
            or base.endswith(("Base", "Model", "Schema"))
            for base in bases
        ):
            yield node


def fields_of(node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, part


@rule(
    "privileged-field",
    Topic.STRANGERS,
    why="The sender of this body chooses their own permissions: anyone can sign up as "
    "an admin.",
    fix="Remove the field, or move it to a schema and an endpoint for admins.",
)
def privileged_field(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in schemas_of(source, index):
        for name, field in fields_of(node):
            if name in PRIVILEGES and _INPUT.match(node.name):
                yield Place(field, f"the sender can set `{node.name}.{name}`")


@rule(
    "null-in-patch",
    Topic.VALIDATION,
    why="The schema accepts `null` and the NOT NULL column rejects it: the caller's "
    "mistake becomes a 500.",
    fix="Remove `| None`, and use another default to mark a field that wasn't sent.",
)
def null_in_patch(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in schemas_of(source, index):
        match = _CHANGE.match(node.name)
        model = index.models.get(match[1]) if match else None
        for name, field in fields_of(node) if model else ():
            column = model.columns.get(name) if model else None
            if column and not column.nullable and is_optional(source, field.annotation):
                yield Place(
                    field, f"`{node.name}.{name}` may be null but its column may not"
                )


@rule(
    "id-as-text",
    Topic.VALIDATION,
    why="Pydantic 2 doesn't convert UUIDs to text, so every response from a row fails.",
    fix="Declare the field as `UUID`.",
)
def id_as_text(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in schemas_of(source, index):
        match = re.match(r"^(\w+?)(Response|Out|Read|Public|Schema)$", node.name)
        model = index.models.get(match[1]) if match else None
        for name, field in fields_of(node) if model else ():
            column = model.columns.get(name) if model else None
            if (
                column
                and column.is_uuid
                and last_part(source.name(field.annotation)) == "str"
            ):
                yield Place(
                    field, f"`{node.name}.{name}` is text but its column a UUID"
                )

"""What a schema lets in."""

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
    """The Pydantic classes of a file, as far as their bases tell."""
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
    why="Whoever sends this body chooses what they may do: a stranger signs up as "
    "admin.",
    fix="Leave the field out, or give it a schema and an endpoint that are for admins.",
)
def privileged_field(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in schemas_of(source, index):
        for name, field in fields_of(node):
            if name in PRIVILEGES and _INPUT.match(node.name):
                yield Place(field, f"`{node.name}.{name}` is the sender's to choose")


@rule(
    "null-in-patch",
    Topic.VALIDATION,
    why="A body with `null` passes, and meets a NOT NULL column: the caller's mistake "
    "becomes a 500.",
    fix="Refuse null where the column does: leave `| None` out, with a default of "
    "its own that means not sent.",
)
def null_in_patch(source: Source, index: ProjectIndex) -> Iterator[Place]:
    for node in schemas_of(source, index):
        match = _CHANGE.match(node.name)
        model = index.models.get(match[1]) if match else None
        for name, field in fields_of(node) if model else ():
            column = model.columns.get(name) if model else None
            if column and not column.nullable and is_optional(source, field.annotation):
                yield Place(
                    field, f"`{node.name}.{name}` may be null, its column may not"
                )


@rule(
    "id-as-text",
    Topic.VALIDATION,
    why="Pydantic 2 makes no text of a UUID: every response that is made from a row "
    "fails.",
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
                yield Place(field, f"`{node.name}.{name}` is a text, its column a UUID")

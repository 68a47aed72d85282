"""Checks operations by the application's OpenAPI document."""

from collections.abc import Iterator
from typing import NamedTuple

from bedplate.check.application import Application
from bedplate.check.document import (
    Document,
    Input,
    Json,
    inputs,
    operations,
    public_operations,
    resolved,
    schemas_of,
    successes,
)
from bedplate.check.findings import Finding, Rule, Topic
from bedplate.check.index import bases_of
from bedplate.check.project import Project
from bedplate.check.rules import all_rules
from bedplate.check.rules.routes import PUBLIC_PATH, returns_anything
from bedplate.check.rules.schemas import fields_of

_PAGE_SIZES = {"count", "first", "limit", "page_size", "per_page", "size", "take"}
# The fields of FastAPI's OAuth2 form, which declares no limits and can't be changed.
_OAUTH_FORM = {"grant_type", "username", "password"}
_OPEN_FORMATS = {None, "byte", "password"}

UNPAGED_LIST = Rule(
    "unpaged-list",
    Topic.VALIDATION,
    why="The response grows with the table, until it uses up the memory or the time of "
    "the whole service.",
    fix="Add a `limit` parameter with a maximum, and return how to get the next page.",
)


class Place(NamedTuple):
    path: str
    line: int
    declares_response: bool = False
    """Whether the function there declares the type that it returns."""


def find_in_document(project: Project, application: Application) -> Iterator[Finding]:
    """Yield each broken rule, at the operation's function or its schema's field."""
    document = application.document
    unprotected = _open_to_strangers(project, document)
    reported = set()
    for name, operation in operations(document):
        place = _endpoint(project, application, name)
        if place is None:
            continue  # the operation of a library
        if name in unprotected:
            yield _finding("open-to-strangers", place, f"`{name}` requires no caller")
        yield from _check_responses(document, name, operation, place)
        for field_place, input_ in _unbounded(project, document, operation):
            at = field_place or place
            label = f"{name}: {input_.where}"
            if field_place:
                label = f"{input_.owner}.{input_.field}"
            # A schema may be used by several operations: report its field once.
            if (at, label) not in reported:
                reported.add((at, label))
                yield _finding("unbounded-input", at, f"`{label}` has no limit")


def tells_of_callers(document: Document) -> bool:
    """Return whether the document declares how callers authenticate."""
    return bool(document.get("components", {}).get("securitySchemes"))


def _finding(name: str, place: Place, message: str) -> Finding:
    rule = UNPAGED_LIST if name == UNPAGED_LIST.id else all_rules()[name].rule
    return Finding(rule, place.path, place.line, message)


def _endpoint(project: Project, application: Application, name: str) -> Place | None:
    """Return the place of an operation's function, if it is the project's own."""
    file, first = application.endpoints.get(name, ("", 0))
    path = project.relative(file) if file else None
    source = project.by_path.get(path) if path else None
    if source is None:
        return None
    for function in source.functions:
        decorators = [d.lineno for d in function.node.decorator_list]
        if first in (function.node.lineno, *decorators):
            declares_response = not returns_anything(source, function)
            return Place(source.path, function.node.lineno, declares_response)
    return Place(source.path, first)


def _open_to_strangers(project: Project, document: Document) -> set[str]:
    if not tells_of_callers(document):
        return set()
    public = {*project.settings.public}
    return {
        name
        for name in public_operations(document)
        if name not in public and not PUBLIC_PATH.search(name)
    }


def _check_responses(
    document: Document, name: str, operation: Json, place: Place
) -> Iterator[Finding]:
    for _, response in successes(operation):
        for schema in schemas_of(response):
            body = resolved(document, schema)
            if _allows_anything(body):
                # A function may declare `-> Response`, which has no schema.
                if not place.declares_response:
                    message = f"`{name}` declares no response schema"
                    yield _finding("no-response-model", place, message)
            elif not name.startswith("GET "):
                continue
            elif body.get("type") == "array":
                yield _finding("bare-list", place, f"`{name}` returns a bare list")
            elif "items" in body.get("properties", {}) and not _is_paged(operation):
                yield _finding("unpaged-list", place, f"`{name}` returns all rows")


def _allows_anything(schema: Json) -> bool:
    if schema.keys() <= {"title"}:
        return True
    is_free = schema.get("additionalProperties") is True
    return is_free and schema.get("type") == "object"


def _is_paged(operation: Json) -> bool:
    return any(p["name"] in _PAGE_SIZES for p in operation.get("parameters", ()))


def _unbounded(
    project: Project, document: Document, operation: Json
) -> Iterator[tuple[Place | None, Input]]:
    for input_ in inputs(document, operation):
        if _has_limit(input_) or _is_of_oauth(document, input_):
            continue
        # FastAPI names the schemas of forms `Body_…`: no class declares them.
        if input_.owner is None or input_.owner.startswith("Body_"):
            yield None, input_
        elif (place := _field(project, input_)) is not None:
            yield place, input_


def _has_limit(input_: Input) -> bool:
    schema = input_.schema
    if "enum" in schema or "const" in schema or "contentMediaType" in schema:
        return True
    match schema.get("type"):
        case "string":
            formatted = schema.get("format") not in _OPEN_FORMATS
            return "maxLength" in schema or "pattern" in schema or formatted
        case "array":
            return "maxItems" in schema
        case "integer" | "number":
            return not input_.where.startswith("query.") or _number_has_limit(input_)
    return True


def _number_has_limit(input_: Input) -> bool:
    has_maximum = bool(input_.schema.keys() & {"maximum", "exclusiveMaximum"})
    has_minimum = bool(input_.schema.keys() & {"minimum", "exclusiveMinimum"})
    is_size = input_.where.removeprefix("query.") in _PAGE_SIZES
    return has_maximum if is_size else has_maximum or has_minimum


def _is_of_oauth(document: Document, input_: Input) -> bool:
    schema: Json = (
        document.get("components", {}).get("schemas", {}).get(input_.owner, {})
    )
    fields: Json = schema.get("properties", {})
    return fields.keys() >= _OAUTH_FORM


def _field(project: Project, input_: Input) -> Place | None:
    """Return the place of a schema's field, or of the schema; None for a library's."""
    pending = [input_.owner]
    place = None
    while pending:
        source, node = project.classes.get(pending.pop(0) or "", (None, None))
        if source is not None and node is not None:
            place = place or Place(source.path, node.lineno)
            for name, field in fields_of(node):
                if name == input_.field:
                    return Place(source.path, field.lineno)
            pending += bases_of(source, node)
    return place

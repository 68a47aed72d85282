"""What is wrong with operations, by the OpenAPI document of the running application."""

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
# FastAPI's OAuth2 form, which has no limits and can't be given any.
_OAUTH_FORM = {"grant_type", "username", "password"}
_OPEN_FORMATS = {None, "byte", "password"}

UNPAGED_LIST = Rule(
    "unpaged-list",
    Topic.VALIDATION,
    why="The answer grows with the table, until it takes the memory or the time of "
    "all.",
    fix="Take a `limit` with a maximum, and tell how to get the next page.",
)


class Place(NamedTuple):
    path: str
    line: int
    says_answer: bool = False
    """Whether the function that stands there says what it returns."""


def find_in_document(project: Project, application: Application) -> Iterator[Finding]:
    """Every operation that breaks a rule, at its function or at its schema's field."""
    document = application.document
    strangers = _open_to_strangers(project, document)
    seen = set()
    for name, operation in operations(document):
        place = _endpoint(project, application, name)
        if place is None:
            continue  # a library's
        if name in strangers:
            yield _finding("open-to-strangers", place, f"`{name}` asks for no caller")
        yield from _answers(document, name, operation, place)
        for where, given in _unbounded(project, document, operation):
            at = where or place
            told = f"{given.owner}.{given.field}" if where else f"{name}: {given.where}"
            if (at, told) not in seen:
                seen.add((at, told))
                yield _finding("unbounded-input", at, f"`{told}` has no limit")


def tells_of_callers(document: Document) -> bool:
    """Whether the application says by which schemes its callers sign in."""
    return bool(document.get("components", {}).get("securitySchemes"))


def _finding(name: str, place: Place, message: str) -> Finding:
    rule = UNPAGED_LIST if name == UNPAGED_LIST.id else all_rules()[name].rule
    return Finding(rule, place.path, place.line, message)


def _endpoint(project: Project, application: Application, name: str) -> Place | None:
    """Where an operation's function stands, if it is the project's own."""
    file, first = application.endpoints.get(name, ("", 0))
    path = project.relative(file) if file else None
    source = project.by_path.get(path) if path else None
    if source is None:
        return None
    for function in source.functions:
        decorators = [d.lineno for d in function.node.decorator_list]
        if first in (function.node.lineno, *decorators):
            says_answer = not returns_anything(source, function)
            return Place(source.path, function.node.lineno, says_answer)
    return Place(source.path, first)


def _open_to_strangers(project: Project, document: Document) -> set[str]:
    if not tells_of_callers(document):
        return set()
    meant = {*project.settings.public}
    return {
        name
        for name in public_operations(document)
        if name not in meant and not PUBLIC_PATH.search(name)
    }


def _answers(
    document: Document, name: str, operation: Json, place: Place
) -> Iterator[Finding]:
    for _, response in successes(operation):
        for schema in schemas_of(response):
            answer = resolved(document, schema)
            if _says_nothing(answer):
                if not place.says_answer:  # as `-> Response` does, which has no schema
                    what = f"`{name}` answers with anything"
                    yield _finding("no-response-model", place, what)
            elif not name.startswith("GET "):
                continue
            elif answer.get("type") == "array":
                yield _finding("bare-list", place, f"`{name}` answers with a bare list")
            elif "items" in answer.get("properties", {}) and not _is_paged(operation):
                yield _finding("unpaged-list", place, f"`{name}` answers with all rows")


def _says_nothing(schema: Json) -> bool:
    if schema.keys() <= {"title"}:
        return True
    is_free = schema.get("additionalProperties") is True
    return is_free and schema.get("type") == "object"


def _is_paged(operation: Json) -> bool:
    return any(p["name"] in _PAGE_SIZES for p in operation.get("parameters", ()))


def _unbounded(
    project: Project, document: Document, operation: Json
) -> Iterator[tuple[Place | None, Input]]:
    for given in inputs(document, operation):
        if _has_limit(given) or _is_of_oauth(document, given):
            continue
        if given.owner is None or given.owner.startswith("Body_"):
            yield None, given
        elif (place := _field(project, given)) is not None:
            yield place, given


def _has_limit(given: Input) -> bool:
    schema = given.schema
    if "enum" in schema or "const" in schema or "contentMediaType" in schema:
        return True
    match schema.get("type"):
        case "string":
            formatted = schema.get("format") not in _OPEN_FORMATS
            return "maxLength" in schema or "pattern" in schema or formatted
        case "array":
            return "maxItems" in schema
        case "integer" | "number":
            return not given.where.startswith("query.") or _number_has_limit(given)
    return True


def _number_has_limit(given: Input) -> bool:
    has_most = bool(given.schema.keys() & {"maximum", "exclusiveMaximum"})
    has_least = bool(given.schema.keys() & {"minimum", "exclusiveMinimum"})
    is_size = given.where.removeprefix("query.") in _PAGE_SIZES
    return has_most if is_size else has_most or has_least


def _is_of_oauth(document: Document, given: Input) -> bool:
    schema: Json = (
        document.get("components", {}).get("schemas", {}).get(given.owner, {})
    )
    fields: Json = schema.get("properties", {})
    return fields.keys() >= _OAUTH_FORM


def _field(project: Project, given: Input) -> Place | None:
    """Where a schema's field is declared, or the schema; None if it's a library's."""
    pending = [given.owner]
    place = None
    while pending:
        source, node = project.classes.get(pending.pop(0) or "", (None, None))
        if source is not None and node is not None:
            place = place or Place(source.path, node.lineno)
            for name, field in fields_of(node):
                if name == given.field:
                    return Place(source.path, field.lineno)
            pending += bases_of(source, node)
    return place

"""Reads a request's inputs, validated by the module's own schemas."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError

from bedplate.core.bodies import JSON, check_media_type, parse_json
from bedplate.core.envelope import details_of
from bedplate.core.errors import ValidationFailed
from bedplate.core.preconditions import MAX_TAGS_LENGTH, IfMatch

ErrorDict = dict[str, Any]
NO_BODY = object()

_ID: TypeAdapter[UUID] = TypeAdapter(UUID)


def read_json(request: Any) -> Any:
    """Return the parsed body, or `NO_BODY`.

    Raises:
        UnsupportedMediaType
        ValidationFailed: the body is not JSON, or holds text that can't be stored.
    """
    check_media_type(request.headers, JSON)
    raw: bytes = request.body
    return parse_json(raw) if raw else NO_BODY


class Inputs:
    """Reads one input after another, and reports the errors of all together."""

    def __init__(self) -> None:
        self._errors: list[ErrorDict] = []

    def if_match(self, headers: Mapping[str, str]) -> IfMatch | None:
        header = headers.get("If-Match")
        if header is None:
            return None
        if len(header) > MAX_TAGS_LENGTH:
            message = f"String should have at most {MAX_TAGS_LENGTH} characters"
            self._add_error("string_too_long", message, "header", "if-match")
        return IfMatch(header)

    def id(self, name: str, text: str) -> Any:
        try:
            return _ID.validate_python(text)
        except ValidationError as error:
            self._add_errors(error, "path", name)
            return None

    def query(self, schema: type[BaseModel], query: str) -> Any:
        """Validate a query string. The last value of a repeated name counts."""
        try:
            return schema.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
        except ValidationError as error:
            self._add_errors(error, "query")
            return None

    def body(self, schema: type[BaseModel], body: Any) -> Any:
        if body is NO_BODY:
            self._add_error("missing", "Field required", "body")
            return None
        try:
            return schema.model_validate(body, from_attributes=True)
        except ValidationError as error:
            self._add_errors(error, "body")
            return None

    def _add_error(self, kind: str, message: str, *location: str) -> None:
        self._errors.append({"type": kind, "msg": message, "loc": location})

    def _add_errors(self, error: ValidationError, *prefix: str) -> None:
        self._errors += [
            {**entry, "loc": (*prefix, *entry["loc"])}
            for entry in error.errors(include_url=False, include_input=False)
        ]

    def check(self) -> None:
        """Report the errors of all inputs.

        Raises:
            ValidationFailed: an input was wrong.
        """
        if self._errors:
            raise ValidationFailed(details=details_of(self._errors))

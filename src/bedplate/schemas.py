"""Schemas of requests and responses: strict Pydantic models in, msgspec structs out.

A body or a query is a `Schema`. A response is a `ResponseSchema`: FastAPI documents it
like any Pydantic model, and it is serialized directly from a row, without validating
data from the database again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Annotated, Any, Generic, Self, TypeVar, get_type_hints

import msgspec
from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

T = TypeVar("T")

# PostgreSQL can't store NUL in text. The OpenAPI document shows the pattern too.
NO_NUL = r"^[^\x00]*$"
"""A pattern for texts of several lines: PostgreSQL can't store NUL."""
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
"""A pattern for texts of one line, without control characters."""

PageNumber = Annotated[
    int, Field(ge=1, le=2**31 - 1, description="The number of the page, from 1.")
]
PageLimit = Annotated[
    int, Field(ge=1, le=100, description="The maximum number of rows on the page.")
]
# Any text is accepted here: an invalid cursor is 400, not 422.
Cursor = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 2048})]
SearchText = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
"""The text of a search, for the parameter `q` of a list."""


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("The date is out of range") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An instant with an offset, converted to UTC as the database returns it."""


@dataclass(frozen=True)
class Digits(GroupedMetadata):
    """The number of digits of a decimal, and how many of them follow the point.

    Total = Annotated[Decimal, Digits(10, 2)]

    Clients send a number or a string. The value has all its decimal places.
    """

    precision: int
    scale: int

    def __iter__(self) -> Iterator[object]:
        yield Field(
            max_digits=self.precision, decimal_places=self.scale, allow_inf_nan=False
        )
        yield AfterValidator(self._with_all_decimals)
        yield WithJsonSchema({"anyOf": [self._number(), self._text()]})

    @property
    def _step(self) -> Decimal:
        return Decimal(1).scaleb(-self.scale)

    def _with_all_decimals(self, value: Decimal) -> Decimal:
        return value.quantize(self._step) + 0  # no -0.00: databases don't store it

    def _number(self) -> dict[str, Any]:
        maximum = float((Decimal(10) ** self.precision - 1) * self._step)
        return {"type": "number", "minimum": -maximum, "maximum": maximum}

    def _text(self) -> dict[str, Any]:
        whole = self.precision - self.scale
        pattern = rf"-?\d{{1,{whole}}}" if whole else "-?0"
        if self.scale:
            pattern += rf"(\.\d{{1,{self.scale}}})?"
        max_length = self.precision + len("-0.")
        return {"type": "string", "pattern": f"^{pattern}$", "maxLength": max_length}


JsonObject = Annotated[dict[str, Any], Field(max_length=1000)]
"""Any JSON object. The limit of the body limits its size."""


_MAX_UNKNOWN = 20
_MAX_ERRORS = 500


class Schema(BaseModel):
    """A body or a query. Unknown fields and values of another type are refused.

    Pydantic lists every error, which takes half a second on the event loop for a
    megabyte of unknown names. So a body with many unknown names is refused before
    validation, with the first ones listed, and very many other errors are reported as
    one.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _list_few_errors(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        if isinstance(data, dict) and len(data) > _MAX_UNKNOWN:
            _refuse_many_unknown(cls, data)
        try:
            return handler(data)
        except ValidationError as error:
            if error.error_count() > _MAX_ERRORS:
                raise _too_many_errors() from None
            raise


def _refuse_many_unknown(schema: type[BaseModel], data: dict[Any, Any]) -> None:
    """Check that a body has few unknown names.

    Raises:
        ValidationError: it has many. The error lists the first ones.
    """
    if schema.model_config.get("extra") != "forbid":
        return
    field_names = known_names(schema)
    unknown = (name for name in data if name not in field_names)
    first = [*islice(unknown, _MAX_UNKNOWN)]
    if len(first) == _MAX_UNKNOWN:
        errors: list[InitErrorDetails] = [
            {"type": "extra_forbidden", "loc": (str(name),), "input": None}
            for name in first
        ]
        raise ValidationError.from_exception_data(schema.__name__, errors)


@cache
def known_names(schema: type[BaseModel]) -> frozenset[str]:
    """Return every name that a client may use for a field of a schema."""
    names: set[Any] = set()
    for name, field in schema.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names |= {c.path[0] if isinstance(c, AliasPath) else c for c in choices}
        names |= {name, field.alias}
    return frozenset(names - {None})


def _too_many_errors() -> PydanticCustomError:
    return PydanticCustomError("too_many_errors", "There are too many errors to list")


# A field that a PATCH may leave out: `name: Name = NOT_SENT`. It has no default in the
# OpenAPI document, and null is still refused.
NOT_SENT: Any = Field(default_factory=lambda: None)
"""The default of a field that a PATCH may leave out: `name: Name = NOT_SENT`."""


def example(**values: Any) -> ConfigDict:
    """Return the `model_config` of a schema with an example for the documentation."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class PatchSchema(Schema):
    """A body whose fields may be left out. Null is refused unless a field allows it."""

    def changes(self) -> dict[str, Any]:
        """Return the fields that the client sent, with their values."""
        return self.model_dump(exclude_unset=True)


class ResponseSchema(msgspec.Struct, frozen=True):
    """A response, or part of one. Declare no defaults: every field is always sent."""

    @classmethod
    def of(cls, source: object) -> Self:
        """Return a struct from an object that has the fields as attributes.

        Raises:
            TypeError: an attribute is missing or has another type. The message doesn't
                show its value.
        """
        try:
            return msgspec.convert(source, cls, from_attributes=True)
        except msgspec.ValidationError as error:
            raise TypeError(f"can't make a {cls.__name__}: {error}") from None

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler.generate_schema(documented(cls))


@cache
def documented(schema: type[ResponseSchema]) -> type[BaseModel]:
    """Return the Pydantic model that documents a struct and can replace it."""
    hints = get_type_hints(schema, include_extras=True)
    types = {field.name: field.type for field in msgspec.structs.fields(schema)}
    fields: Any = {
        name: (types[name] if _is_generic(hints[name]) else hints[name], ...)
        for name in types
    }
    return create_model(
        schema.__name__,
        __doc__=schema.__doc__,
        __module__=schema.__module__,
        __config__=ConfigDict(from_attributes=True),
        **fields,
    )


def _is_generic(hint: Any) -> bool:
    return bool(getattr(hint, "__parameters__", ()))


class Page(ResponseSchema, Generic[T], frozen=True):
    """One page of a list. In cursor mode `total`, `page` and `pages` are null."""

    items: Annotated[list[T], Field(description="The rows of this page.")]
    total: Annotated[int | None, Field(description="The number of rows on all pages.")]
    page: Annotated[int | None, Field(description="The number of this page, from 1.")]
    limit: Annotated[int, Field(description="The maximum number of rows on a page.")]
    pages: Annotated[int | None, Field(description="The number of pages.")]
    next_cursor: Annotated[
        str | None,
        Field(description="The cursor of the next page; null on the last one."),
    ]


class ListParams(Schema):
    """The query parameters of every list: `page` and `limit`, or `cursor` and `limit`.

    A list adds its own `sort` (a Literal, with `-` for descending), filters and `q`.
    """

    page: PageNumber = 1
    limit: PageLimit = 20
    cursor: Annotated[
        Cursor | None,
        Field(
            description="`next_cursor` of the page before; empty for the first page."
        ),
    ] = None

    @model_validator(mode="after")
    def _one_mode(self) -> "ListParams":
        if self.cursor is not None and "page" in self.model_fields_set:
            raise ValueError("Send either page or cursor, not both")
        return self


class ErrorDetail(BaseModel):
    """The error of one field."""

    field: str = Field(
        description="The place: `body.email`, `query.page`, `path.user_id`."
    )
    message: str = Field(description="The reason, for people.")


class ErrorBody(BaseModel):
    """The error, for programs (`code`) and for people (`message`)."""

    code: str = Field(description="The kind of error, for programs. It never changes.")
    message: str = Field(description="The reason, for people. It may change.")
    details: list[ErrorDetail] | None = Field(
        description="The fields that are wrong; null if the error is about none."
    )
    request_id: str | None = Field(
        description="The id of the request, which its log line has too."
    )


class ErrorResponse(BaseModel):
    """The body of every error."""

    error: ErrorBody = Field(description="The error.")

"""What goes in and out: strict Pydantic schemas in, structs out.

A body or a query is a `Schema`. A response is a `ResponseSchema`: FastAPI documents it
like any Pydantic model, and it becomes bytes straight from a row, without a second
validation of what the database just said.
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

# PostgreSQL can't store NUL in text. The pattern stands in the OpenAPI document too.
NO_NUL = r"^[^\x00]*$"
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"

PageNumber = Annotated[
    int, Field(ge=1, le=2**31 - 1, description="The number of the page, from 1.")
]
PageLimit = Annotated[
    int, Field(ge=1, le=100, description="The maximum number of rows on the page.")
]
# Any text is read: one that is not ours is 400, not 422.
Cursor = Annotated[str, WithJsonSchema({"type": "string", "maxLength": 2048})]
SearchText = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("That is too far away") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An instant with its offset, kept in UTC as the database gives it back."""


@dataclass(frozen=True)
class Digits(GroupedMetadata):
    """How many digits a decimal has, and how many of them after the point.

    Total = Annotated[Decimal, Digits(10, 2)]

    It comes as a number or a string, and is kept with all its decimals.
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
        return value.quantize(self._step) + 0  # no -0.00, which no database keeps

    def _number(self) -> dict[str, Any]:
        most = float((Decimal(10) ** self.precision - 1) * self._step)
        return {"type": "number", "minimum": -most, "maximum": most}

    def _text(self) -> dict[str, Any]:
        whole = self.precision - self.scale
        pattern = rf"-?\d{{1,{whole}}}" if whole else "-?0"
        if self.scale:
            pattern += rf"(\.\d{{1,{self.scale}}})?"
        most = self.precision + len("-0.")
        return {"type": "string", "pattern": f"^{pattern}$", "maxLength": most}


JsonObject = Annotated[dict[str, Any], Field(max_length=1000)]
"""Any JSON object; its size is limited by that of the body."""


_MOST_UNKNOWN = 20
_MOST_ERRORS = 500


class Schema(BaseModel):
    """A body: unknown fields are refused, and so is `1` where a string is asked for.

    Pydantic lists every error there is, which takes half a second for a megabyte of
    unknown names, on the event loop. So many unknown names are refused by the first
    of them, before anything is validated, and of very many other errors only the
    number is told.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _list_few_errors(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        if isinstance(data, dict) and len(data) > _MOST_UNKNOWN:
            _refuse_many_unknown(cls, data)
        try:
            return handler(data)
        except ValidationError as error:
            if error.error_count() > _MOST_ERRORS:
                raise _too_many_errors() from None
            raise


def _refuse_many_unknown(schema: type[BaseModel], data: dict[Any, Any]) -> None:
    """Raises ValidationError, with the first unknown names, if there are many."""
    if schema.model_config.get("extra") != "forbid":
        return
    known = known_names(schema)
    unknown = (name for name in data if name not in known)
    first = [*islice(unknown, _MOST_UNKNOWN)]
    if len(first) == _MOST_UNKNOWN:
        errors: list[InitErrorDetails] = [
            {"type": "extra_forbidden", "loc": (str(name),), "input": None}
            for name in first
        ]
        raise ValidationError.from_exception_data(schema.__name__, errors)


@cache
def known_names(schema: type[BaseModel]) -> frozenset[str]:
    """Return every name that a field of a schema may be sent by."""
    names: set[Any] = set()
    for name, field in schema.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names |= {c.path[0] if isinstance(c, AliasPath) else c for c in choices}
        names |= {name, field.alias}
    return frozenset(names - {None})


def _too_many_errors() -> PydanticCustomError:
    return PydanticCustomError("too_many_errors", "There are too many errors to list")


# A field that a PATCH may leave out. It has no default in the OpenAPI document, and
# null stays refused: `name: Name = NOT_SENT`.
NOT_SENT: Any = Field(default_factory=lambda: None)


def example(**values: Any) -> ConfigDict:
    """Return the `model_config` of a schema with an example for the documentation."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class PatchSchema(Schema):
    """A body whose fields may be left out; null is refused where it can't be stored."""

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)


class ResponseSchema(msgspec.Struct, frozen=True):
    """A response, or a part of one. No defaults: every field is there."""

    @classmethod
    def of(cls, source: object) -> Self:
        """From an object that has the fields as attributes.

        Raises:
            TypeError: one is missing or of another type; its value isn't told.
        """
        try:
            return msgspec.convert(source, cls, from_attributes=True)
        except msgspec.ValidationError as error:
            raise TypeError(f"it doesn't fit {cls.__name__}: {error}") from None

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler.generate_schema(documented(cls))


@cache
def documented(schema: type[ResponseSchema]) -> type[BaseModel]:
    """The Pydantic model that documents a struct, and can stand in for it."""
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
    """The query of every list: `page` and `limit`, or `cursor` and `limit`.

    A list adds its own `sort` (an enumeration, `-` for descending), filters and `q`.
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
            raise ValueError("send either page or cursor")
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

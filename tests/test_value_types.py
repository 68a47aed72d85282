"""Values that a module's bodies may hold: kept as the database gives them back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from bedplate.schemas import Digits, Instant, JsonObject, Schema
from bedplate.testing.guards import unbounded_inputs


class Body(Schema):
    total: Annotated[Decimal, Digits(4, 2)] = Decimal(0)
    share: Annotated[Decimal, Digits(2, 2)] = Decimal(0)
    whole: Annotated[Decimal, Digits(3, 0)] = Decimal(0)
    at: Instant = datetime(2026, 1, 1, tzinfo=UTC)
    extra: JsonObject = {}


@pytest.mark.parametrize(
    ("value", "stored"),
    [("1.5", "1.50"), (1.5, "1.50"), (12, "12.00"), ("-0", "0.00"), ("99.99", "99.99")],
)
def test_a_decimal_has_all_its_decimals(value: Any, stored: str) -> None:
    assert str(Body(total=value).total) == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total", "100"),
        ("total", "0.001"),
        ("total", "NaN"),
        ("total", "Infinity"),
        ("total", True),
        ("share", "1"),
        ("whole", "0.1"),
        ("at", "2026-01-01T00:00:00"),
        ("at", "9999-12-31T23:59:59-12:00"),
        ("at", "0001-01-01T00:00:00+12:00"),
        ("extra", [1]),
        ("extra", {str(number): 1 for number in range(1001)}),
    ],
)
def test_what_can_not_be_kept_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Body(**{field: value})

    assert refused.value.error_count() == 1


def test_an_instant_is_kept_in_utc() -> None:
    body = Body.model_validate({"at": "2026-01-01T02:00:00+02:00"})

    assert body.model_dump_json().count("2026-01-01T00:00:00Z") == 1


def test_their_limits_stand_in_the_document() -> None:
    schema = Body.model_json_schema()
    content = {"application/json": {"schema": schema}}
    operation = {"requestBody": {"content": content}, "responses": {}}

    assert unbounded_inputs({"paths": {"/planted": {"post": operation}}}) == []
    number, text = schema["properties"]["total"]["anyOf"]
    assert (number["minimum"], number["maximum"]) == (-99.99, 99.99)
    assert (text["pattern"], text["maxLength"]) == (r"^-?\d{1,2}(\.\d{1,2})?$", 7)

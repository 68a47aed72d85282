"""The syntax of fields on the command line, and its error messages."""

import pytest

from bedplate.scaffold.fields import parse_field, parse_fields
from bedplate.scaffold.plan import ScaffoldError


@pytest.mark.parametrize(
    ("text", "python", "column"),
    [
        ("number:str", "str", "String(255)"),
        ("number:str(40)", "str", "String(40)"),
        ("notes:text", "str", "Text"),
        ("level:int", "int", None),
        ("size:bigint", "int", "BigInteger"),
        ("weight:float", "float", None),
        ("total:decimal(10,2)", "Decimal", "ExactDecimal(10, 2)"),
        ("paid:bool", "bool", None),
        ("due:date", "date", None),
        ("sent_at:datetime", "datetime", None),
        ("token:uuid", "UUID", None),
        ("extra:json", "dict[str, Any]", None),
        ("status:enum(draft,sent)", "str", "String(5)"),
        ("customer:ref(users)", "UUID", None),
    ],
)
def test_each_type_has_its_column(text: str, python: str, column: str | None) -> None:
    field = parse_field(text)

    assert (field.kind.python, field.kind.column) == (python, column)
    assert field.is_required
    assert parse_field(text.replace(":", ":", 1) + "?").is_optional


def test_a_field_has_flags_and_a_default() -> None:
    number, paid, total = parse_fields(
        ["number:str:unique:index", "paid:bool=false total:decimal(4, 2)=1.5"]
    )

    assert number.flags == {"unique", "index"}
    assert (paid.default, paid.is_required) == (False, False)
    assert total.default == "1.50"


def test_a_reference_is_a_column_of_its_own_name() -> None:
    field = parse_field("customer:ref(users)?")

    assert (field.column_name, field.refers_to) == ("customer_id", "users")


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        (":str", 1, "a name"),
        ("number", 7, "`:` and a type"),
        ("number:", 8, "a type, one of str, text, int"),
        ("number:strung", 8, "a type, one of str, text, int"),
        ("number:str(0)", 8, "str(255): 1 to 1000"),
        ("number:str(1,2)", 8, "str(255)"),
        ("notes:text(9)", 7, "`text` without brackets"),
        ("total:decimal", 7, "decimal(10,2), with at most 15 digits"),
        ("total:decimal(16,2)", 7, "decimal(10,2), with at most 15 digits"),
        ("total:decimal(4,5)", 7, "decimal(10,2)"),
        ("status:enum(one)", 8, "at least two names"),
        ("status:enum(one,one)", 8, "at least two names"),
        ("status:enum(one,Two!)", 8, "at least two names"),
        ("status:enum(one,two", 8, "at least two names"),
        ("customer:ref", 10, "ref(users), with one table"),
        ("number:str:uniq", 12, "`unique` or `index`"),
        ("number:str:", 12, "`unique` or `index`"),
        ("number:str!", 11, "in this order, or the end"),
        ("number:str:unique?", 18, "in this order, or the end"),
        ("paid:bool=perhaps", 11, "a default, true or false"),
        ("level:int=1.5", 11, "a whole number of 32 bits"),
        ("level:int=2147483648", 11, "a whole number of 32 bits"),
        ("total:decimal(4,2)=100", 20, "a number up to 99.99"),
        ("weight:float=nan", 14, "a default, a number"),
        ("due:date=soon", 10, "a date as 2026-01-31"),
        ("status:enum(one,two)=three", 22, "one of one, two"),
        ("sent_at:datetime=now", 17, "no default, because"),
        ("customer:ref(users)=1", 20, "no default"),
    ],
)
def test_an_error_names_the_column_and_what_was_expected(
    text: str, column: int, expected: str
) -> None:
    with pytest.raises(ScaffoldError) as refused:
        parse_field(text)

    message = str(refused.value)
    assert message.startswith(f"{text!r}, column {column}: expected "), message
    assert expected in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number:str?=a", "`?` or a default, not both"),
        ("paid:bool:unique", "can't be unique"),
        ("number:str:unique=a", "can't be unique"),
        ("notes:text:index", "can't have an index"),
        ("number:str number:int", "'number' is given twice"),
        ("customer:ref(users) customer_id:uuid", "'customer_id' is given twice"),
    ],
)
def test_contradictory_options_are_refused(text: str, message: str) -> None:
    with pytest.raises(ScaffoldError, match=message.replace("?", r"\?")):
        parse_fields([text])

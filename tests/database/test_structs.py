"""Rows become structs of any depth, with missing parts. Mismatches are refused."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from bedplate.database import Query
from bedplate.database.base import ExactDecimal, UTCDateTime
from bedplate.main import Application

T = TypeVar("T")


class City(msgspec.Struct, frozen=True):
    id: int
    name: str | None


class Company(msgspec.Struct, frozen=True):
    id: int
    city: City
    name: str


class Author(msgspec.Struct, frozen=True):
    company: Company
    name: str


class Article(msgspec.Struct, frozen=True):
    id: int
    author: Author
    title: str


class Note(msgspec.Struct, frozen=True):
    id: int
    author: Author | None
    city: Annotated[City | None, "where"]
    title: str


def integers(*names: str) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*(sa.literal(0).label(name) for name in names))


def query_of(row: type[Any], **types: Any) -> Query[Any]:
    columns = [sa.literal(None, type_).label(name) for name, type_ in types.items()]
    return Query(sa.select(*columns), row)


INT, TEXT = sa.Integer(), sa.String()
AUTHOR = {
    "author_company_id": INT,
    "author_company_city_id": INT,
    "author_company_city_name": TEXT,
    "author_company_name": TEXT,
    "author_name": TEXT,
}


def test_structs_nest_to_any_depth() -> None:
    query = query_of(Article, id=INT, **AUTHOR, title=TEXT)

    article = query.build((1, 2, 3, "Paris", "Acme", "Ada", "On engines"))

    acme = Company(2, City(3, "Paris"), "Acme")
    assert article == Article(1, Author(acme, "Ada"), "On engines")


def test_a_row_of_another_width_is_refused() -> None:
    query = query_of(Article, id=INT, **AUTHOR, title=TEXT)

    for row in [(1, 2, 3, "Paris", "Acme", "Ada"), (1, 2, 3, "P", "A", "A", "T", "x")]:
        with pytest.raises(ValueError, match="values to unpack"):
            query.build(row)


def test_an_optional_struct_is_none_if_all_of_its_columns_are_null() -> None:
    city = {"city_id": INT, "city_name": TEXT}
    query = query_of(Note, id=INT, **AUTHOR, **city, title=TEXT)
    author = (2, 3, None, "Acme", "Ada")

    absent = query.build((1, *[None] * 5, None, None, "T"))
    nameless = query.build((1, *author, 4, None, "T"))

    assert absent == Note(1, None, None, "T")
    assert nameless.author == Author(Company(2, City(3, None), "Acme"), "Ada")
    assert nameless.city == City(4, None), "present, with a value that is NULL"


def test_keyword_only_fields_and_generic_structs_are_built() -> None:
    class Box(msgspec.Struct, Generic[T]):
        value: T

    class Parcel(msgspec.Struct, kw_only=True):
        box: Box[int]
        spare: Box[str] | None
        weight: int

    names = {"box_value": INT, "spare_value": TEXT, "weight": INT}
    query = query_of(Parcel, **names)

    assert query.build((1, None, 2)) == Parcel(box=Box(1), spare=None, weight=2)
    assert query.build((1, "x", 2)) == Parcel(box=Box(1), spare=Box("x"), weight=2)


# Structs that are refused when a query is declared.


class Node(msgspec.Struct):
    id: int
    parent: "Node | None"


def test_a_struct_that_contains_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Node contains itself"):
        query_of(Node, id=INT)


def test_an_optional_struct_needs_a_field_that_is_never_none() -> None:
    class Vague(msgspec.Struct):
        name: str | None

    class Wraps(msgspec.Struct):
        vague: Vague

    class Holder(msgspec.Struct):
        part: Vague | None

    class Deep(msgspec.Struct):
        part: Wraps | None

    with pytest.raises(TypeError, match=r"every field of Vague may be None.*'part'"):
        query_of(Holder, part_name=TEXT)
    with pytest.raises(TypeError, match="every field of Wraps may be None"):
        query_of(Deep, part_vague_name=TEXT)


def test_a_choice_of_structs_is_refused() -> None:
    class Either(msgspec.Struct):
        one: City | Company

    with pytest.raises(TypeError, match=r"Either.one may be one of several types"):
        query_of(Either, one_id=INT)


@pytest.mark.parametrize(
    "names",
    [
        ["id", *AUTHOR],
        ["id", *AUTHOR, "title", "more"],
        ["id", "title", *AUTHOR],
        ["id", *reversed(AUTHOR), "title"],
    ],
)
def test_columns_in_another_order_or_number_are_refused(names: list[str]) -> None:
    with pytest.raises(TypeError, match="Article needs columns"):
        Query(integers(*names), Article)


class Role(StrEnum):
    ADMIN = "admin"


UserName = NewType("UserName", str)
FITTING: list[tuple[Any, Any]] = [
    (int, INT),
    (float, INT),
    (float | None, sa.Float()),
    (Decimal, sa.Numeric(10, 2)),
    (Decimal, ExactDecimal(10, 2)),
    (str, TEXT),
    (UserName, TEXT),
    (Literal["a", "b"], TEXT),
    (Role, TEXT),
    (Role, sa.Enum(Role)),
    (str, sa.Enum(Role)),
    (datetime, UTCDateTime()),
    (date, sa.Date()),
    (UUID, sa.Uuid()),
    (str, sa.Uuid(as_uuid=False)),
    (UUID | str, sa.Uuid()),
    (bool, sa.Boolean()),
    (dict[str, Any], sa.JSON()),
    (list[str], sa.JSON()),
    (Any, sa.Uuid()),
    (int, sa.types.NullType()),
]
MISFITS: list[tuple[Any, Any]] = [
    (int, TEXT),
    (str, INT),
    (UUID, TEXT),
    (str, sa.Uuid()),
    (datetime, TEXT),
    (datetime, sa.Date()),
    (date, UTCDateTime()),
    (bool, INT),
    (int, sa.Boolean()),
    (float, sa.Numeric()),
    (Decimal, sa.Float()),
    (Literal["a"], INT),
    (Role, INT),
    (str | None, UTCDateTime()),
]


def declare(annotation: Any, column_type: Any) -> Query[Any]:
    row = msgspec.defstruct("Row", [("value", annotation)])
    return query_of(row, value=column_type)


@pytest.mark.parametrize(("annotation", "column_type"), FITTING)
def test_a_column_that_can_fill_its_field_is_accepted(
    annotation: Any, column_type: Any
) -> None:
    assert declare(annotation, column_type).build((None,)).value is None


@pytest.mark.parametrize(("annotation", "column_type"), MISFITS)
def test_a_column_of_another_type_is_refused(annotation: Any, column_type: Any) -> None:
    with pytest.raises(TypeError, match=r"Row takes .* for 'value', but its column"):
        declare(annotation, column_type)


def test_the_types_show_that_two_columns_are_swapped() -> None:
    class Pair(msgspec.Struct):
        id: UUID
        name: str

    swapped = sa.select(
        sa.literal("x", TEXT).label("id"), sa.literal(None, sa.Uuid()).label("name")
    )
    with pytest.raises(TypeError, match=r"Pair takes UUID for 'id'.* holds str"):
        Query(swapped, Pair)


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Turn the worker off: its threads use `random`, which disturbs Hypothesis."""
    return {"embedded_worker": False}


# Rows of any shape are read like SQLAlchemy's, on both databases.

instants = st.datetimes(timezones=st.just(UTC), min_value=datetime(1971, 1, 1))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
KINDS: dict[str, tuple[Any, sa.types.TypeEngine[Any], st.SearchStrategy[Any]]] = {
    "whole": (int, sa.BigInteger(), st.integers(-(2**63), 2**63 - 1)),
    "text": (str, sa.String(), texts),
    "truth": (bool, sa.Boolean(), st.booleans()),
    "moment": (datetime, UTCDateTime(), instants),
    "day": (date, sa.Date(), st.dates()),
    "key": (UUID, sa.Uuid(), st.uuids()),
    "price": (
        Decimal,
        ExactDecimal(8, 2),
        st.decimals("-99999", "99999", places=2),
    ),
    "share": (float, sa.Double(), st.floats(allow_nan=False, allow_infinity=False)),
}
Shape = list[Any]
kinds = st.sampled_from(sorted(KINDS))
leaves = st.tuples(kinds, st.booleans())
shapes: st.SearchStrategy[Shape] = st.recursive(
    st.lists(leaves, min_size=1, max_size=4),
    lambda inner: st.lists(
        st.one_of(leaves, st.tuples(inner, st.booleans())), min_size=1, max_size=4
    ),
    max_leaves=12,
)


def make_struct(shape: Shape) -> type[Any]:
    """Return a struct of a shape. Its first field is never None: it may be optional."""
    fields: list[tuple[str, Any]] = [("first", int)]
    for number, (part, is_optional) in enumerate(shape):
        type_ = KINDS[part][0] if isinstance(part, str) else make_struct(part)
        fields.append((f"f{number}", type_ | None if is_optional else type_))
    return msgspec.defstruct("Shaped", fields)


def cells(
    shape: Shape, prefix: str, draw: Callable[[Any], Any], *, is_absent: bool
) -> Sequence[tuple[str, Any, Any]]:
    """Draw the columns of a shape, as a join returns them: name, type and value."""
    columns: list[tuple[str, Any, Any]] = [
        (f"{prefix}first", INT, None if is_absent else draw(st.integers(0, 9)))
    ]
    for number, (part, is_optional) in enumerate(shape):
        name, absent = f"{prefix}f{number}", is_absent
        if is_optional:
            absent = is_absent or draw(st.booleans())
        if isinstance(part, str):
            _, type_, values = KINDS[part]
            columns.append((name, type_, None if absent else draw(values)))
        else:
            columns += cells(part, f"{name}_", draw, is_absent=absent)
    return columns


def build_slowly(row: type[Any], shape: Shape, values: list[Any]) -> Any:
    """Build the struct of a row in the obvious way, consuming `values`."""
    arguments = [values.pop(0)]
    fields = msgspec.structs.fields(row)[1:]
    for field, (part, _) in zip(fields, shape, strict=True):
        if isinstance(part, str):
            arguments.append(values.pop(0))
        else:
            inner = next(
                t
                for t in (field.type, *getattr(field.type, "__args__", ()))
                if isinstance(t, type) and issubclass(t, msgspec.Struct)
            )
            width = count(part)
            inner_values, values[:width] = values[:width], []
            is_absent = all(value is None for value in inner_values)
            arguments.append(
                None if is_absent else build_slowly(inner, part, inner_values)
            )
    return row(*arguments)


def count(shape: Shape) -> int:
    return 1 + sum(1 if isinstance(part, str) else count(part) for part, _ in shape)


@st.composite
def shapes_with_cells(draw: st.DrawFn) -> tuple[Shape, Sequence[tuple[str, Any, Any]]]:
    shape = draw(shapes)
    return shape, cells(shape, "", draw, is_absent=False)


@settings(max_examples=60)
@given(drawn=shapes_with_cells())
async def test_rows_of_any_shape_are_the_same_as_sqlalchemy_s(
    app: Application, drawn: tuple[Shape, Sequence[tuple[str, Any, Any]]]
) -> None:
    shape, columns = drawn
    row = make_struct(shape)
    statement = sa.select(
        *(sa.cast(sa.literal(v, t), t).label(n) for n, t, v in columns)
        if app.state.runtime.database.dialect.name == "postgresql"
        else (sa.literal(v, t).label(n) for n, t, v in columns)
    )
    query = Query(statement, row)

    async with app.state.runtime.database.unit_of_work() as session:
        outside = await session.fetch_one(query)
        expected = (await session.execute(statement)).one()
        inside = await session.fetch_one(query)

    assert outside == build_slowly(row, shape, list(expected))
    assert inside == outside

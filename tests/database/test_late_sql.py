"""SQL that SQLAlchemy completes late, and statements that are refused at startup."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import bindparam, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg as PGDialect
from sqlalchemy.ext.compiler import compiles
from uuid_utils.compat import uuid7

from bedplate.config import Settings
from bedplate.database import Database, ExactDecimal, ListQuery, Query, Session
from bedplate.database.query import Statement, compile_declared
from bedplate.example.posts.models import Post
from bedplate.main import Application, create_app
from bedplate.modules.users.models import User
from bedplate.schemas import ListParams, Page, ResponseSchema
from bedplate.testing.plugin import MakeUser


class Named(msgspec.Struct, frozen=True):
    id: UUID
    name: str


class Text(msgspec.Struct, frozen=True):
    text: str | None


class Answer(msgspec.Struct, frozen=True):
    value: bool | None


class Role(StrEnum):
    ADMIN = "admin"
    USER = "user"


BY_NAME = select(User.id, User.name).order_by(User.name)
ROLE = sa.type_coerce(
    User.role,
    sa.Enum(
        Role, native_enum=False, values_callable=lambda kind: [m.value for m in kind]
    ),
)


@pytest.fixture
def database(app: Application) -> Database:
    database: Database = app.state.runtime.database
    return database


@pytest.fixture
async def crowd(make_user: MakeUser) -> list[User]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        await make_user(
            name=name,
            email=f"{name}@example.com",
            role=["user", "admin"][number % 2],
            created_at=start + timedelta(microseconds=number),
        )
        for number, name in enumerate("abcde")
    ]


async def fetch(session: Session, statement: Any, **values: Any) -> list[str]:
    """Return names from the read path, after comparing them with SQLAlchemy's."""
    names = [
        row.name for row in await session.fetch_all(Query(statement, Named), **values)
    ]
    expected = (await session.execute(statement, values)).all()
    assert names == [row.name for row in expected]
    return names


async def test_a_list_is_passed_with_each_call(
    database: Database, crowd: list[User]
) -> None:
    among = BY_NAME.where(User.id.in_(bindparam("ids")))
    others = BY_NAME.where(User.id.not_in(bindparam("ids", expanding=True)))
    ids = [user.id for user in crowd]
    async with database.unit_of_work() as session:
        for given_ids, names in [
            ([], ""),
            (ids[:1], "a"),
            (ids[1:3], "bc"),
            ([*ids, *ids, uuid7()], "abcde"),
        ]:
            assert "".join(await fetch(session, among, ids=given_ids)) == names
            remaining = "".join(name for name in "abcde" if name not in names)
            assert "".join(await fetch(session, others, ids=given_ids)) == remaining
        rows = await session.fetch_all(Query(among, Named), ids=iter(set(ids)))
        assert len(rows) == len(ids)


async def test_null_in_a_list_is_null_in_sql(
    database: Database, crowd: list[User]
) -> None:
    among = BY_NAME.where(User.id.in_(bindparam("ids")))
    others = BY_NAME.where(User.id.not_in(bindparam("ids")))
    async with database.unit_of_work() as session:
        assert await fetch(session, among, ids=[None, crowd[0].id]) == ["a"]
        assert await fetch(session, others, ids=[None, crowd[0].id]) == []


async def test_list_items_are_bound_with_the_type_of_the_column(
    database: Database, crowd: list[User]
) -> None:
    instants = bindparam("instants", type_=User.created_at.type)
    odd = "\"'\\ \u20ac \U0001f600 %"
    async with database.unit_of_work() as session:
        by_instant = BY_NAME.where(User.created_at.in_(instants))
        created = [crowd[0].created_at, crowd[3].created_at]
        assert await fetch(session, by_instant, instants=created) == ["a", "d"]
        by_role = BY_NAME.where(ROLE.in_(bindparam("roles")))
        assert await fetch(session, by_role, roles=[Role.ADMIN]) == ["b", "d"]
        by_text = BY_NAME.where(User.name.in_(bindparam("names")))
        assert await fetch(session, by_text, names=["e", "x" * 101, odd]) == ["e"]
        by_length = BY_NAME.where(sa.func.char_length(User.name).in_(bindparam("n")))
        assert len(await fetch(session, by_length, n=[1, 2**31 - 1, -1])) == 5
        by_truth = BY_NAME.where(User.is_active.in_(bindparam("truths")))
        assert len(await fetch(session, by_truth, truths=[True])) == 5


async def test_a_text_is_not_cut(database: Database, crowd: list[User]) -> None:
    # Cut at the column's length, or at NUL, it would match another text.
    names = Query(BY_NAME.where(User.name.in_(bindparam("names"))), Named)
    async with database.unit_of_work() as session:
        name = (await session.get_one(User, crowd[0].id)).name = "x" * 100
        await session.flush()
        assert await session.fetch_all(names, names=[name + "y"]) == []
        assert len(await session.fetch_all(names, names=[name])) == 1
    with pytest.raises(Exception, match=r"NUL|invalid byte sequence"):
        await database.fetch_one(names, names=["b\0"])


async def test_a_list_may_be_longer_than_a_driver_has_parameters(
    database: Database, crowd: list[User]
) -> None:
    query = Query(BY_NAME.where(User.id.in_(bindparam("ids"))), Named)
    ids = [uuid7() for _ in range(40_000)]

    rows = await database.fetch(query, {"ids": [*ids, crowd[2].id]})

    assert [row[1] for row in rows] == ["c"]


async def test_a_list_of_any_length_is_one_statement(database: Database) -> None:
    statement = Statement(BY_NAME.where(User.id.in_(bindparam("ids"))))
    compiled = statement.compiled_for(database.dialect)

    assert statement.compiled_for(database.dialect) is compiled
    assert len(compiled.arguments({"ids": [uuid7()] * 9})) == 1


async def test_a_list_has_a_default_and_may_be_used_twice(
    database: Database, crowd: list[User]
) -> None:
    ids = [user.id for user in crowd]
    parameter: Any = bindparam("ids", ids[:2], expanding=True)
    query = Query(
        BY_NAME.where(User.id.in_(parameter), sa.not_(User.id.not_in(parameter))), Named
    )
    async with database.unit_of_work() as session:
        assert [r.name for r in await session.fetch_all(query)] == ["a", "b"]
        rows = await session.fetch_all(query, ids=ids[2:3])
        assert [r.name for r in rows] == ["c"]


@pytest.mark.parametrize("wrong", [None, "text", b"bytes", 5])
async def test_a_value_that_is_not_a_list_is_refused(
    database: Database, wrong: Any
) -> None:
    query = Query(BY_NAME.where(User.name.in_(bindparam("names"))), Named)

    with pytest.raises(TypeError, match="a list parameter takes a list, not"):
        await database.fetch(query, {"names": wrong})
    with pytest.raises(TypeError, match="'names' is missing"):
        await database.fetch(query, {})


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
CHOICES: list[Any] = [
    (sa.String(), texts),
    (sa.BigInteger(), st.integers(-(2**63), 2**63 - 1)),
    (sa.Uuid(), st.uuids()),
    (User.created_at.type, st.datetimes(timezones=st.just(UTC))),
    (sa.Date(), st.dates()),
]


# A worker in the same process uses `random` too, which disturbs Hypothesis.
ALONE = pytest.mark.parametrize("setting_overrides", [{"embedded_worker": False}])


@st.composite
def memberships(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """Draw a type, a value of it, and a list that may contain it."""
    type_, strategy = draw(st.sampled_from(CHOICES))
    pool = draw(st.lists(st.none() | strategy, min_size=1, max_size=4))
    items = draw(st.lists(st.sampled_from(pool) | strategy, max_size=5))
    return type_, {"value": draw(st.sampled_from(pool)), "items": items}


@ALONE
@examples(max_examples=80)
@given(membership=memberships(), negated=st.booleans())
async def test_membership_is_the_same_as_sqlalchemy_s(
    app: Application, membership: tuple[Any, dict[str, Any]], negated: bool
) -> None:
    type_, values = membership
    value: Any = bindparam("value", type_=type_)
    if not app.state.runtime.database.is_sqlite:
        value = sa.cast(value, type_)  # PostgreSQL needs a type for a lone parameter
    items: Any = bindparam("items", expanding=True)
    condition = value.not_in(items) if negated else value.in_(items)
    statement = select(condition.label("value"))

    async with app.state.runtime.database.unit_of_work() as session:
        row = await session.fetch_one(Query(statement, Answer), **values)
        expected = (await session.execute(statement, values)).one()

    assert row == Answer(expected.value)


# Lists and literals that are part of the statement.


async def test_lists_and_literals_of_the_statement_are_part_of_its_sql(
    database: Database, crowd: list[User]
) -> None:
    a, b, *_ = crowd
    async with database.unit_of_work() as session:
        for condition, names in [
            (User.name.in_(["a", "c", "it's"]), ["a", "c"]),
            (User.name.in_([]), []),
            (User.name.not_in([]), [*"abcde"]),
            (User.name.not_in(["a"]), [*"bcde"]),
            (User.id.in_([a.id, b.id]), ["a", "b"]),
            (ROLE.in_([Role.ADMIN]), ["b", "d"]),
            (
                sa.tuple_(User.id, User.role).in_([(a.id, "user"), (b.id, "user")]),
                ["a"],
            ),
            (sa.tuple_(User.id, User.created_at).in_([(b.id, b.created_at)]), ["b"]),
            (User.name.in_(select(User.name).where(User.role == "admin")), ["b", "d"]),
            (User.name == sa.literal("e", literal_execute=True), ["e"]),
        ]:
            assert await fetch(session, BY_NAME.where(condition)) == names, condition
        assert await fetch(session, BY_NAME.limit(2).offset(1)) == ["b", "c"]
        limited = BY_NAME.limit(bindparam("n")).offset(bindparam("m"))
        assert await fetch(session, limited, n=1, m=3) == ["d"]


async def test_texts_are_aggregated(database: Database, crowd: list[User]) -> None:
    joined = sa.func.aggregate_strings(User.name, ", ' %").label("text")
    filtered = select(joined).where(
        User.name.in_(["a", "b"]), User.id.in_(bindparam("ids"))
    )
    query = Query(filtered, Text)
    async with database.unit_of_work() as session:
        row = await session.fetch_one(query, ids=[user.id for user in crowd])
    assert row is not None
    assert row.text in ("a, ' %b", "b, ' %a")


async def test_rows_of_a_union_are_built_like_those_of_a_select(
    database: Database, crowd: list[User]
) -> None:
    both = sa.union_all(
        BY_NAME.order_by(None).where(User.name == "a"),
        BY_NAME.order_by(None).where(User.name.in_(bindparam("names"))),
    ).order_by("name")
    async with database.unit_of_work() as session:
        assert await fetch(session, both, names=["c"]) == ["a", "c"]


class TagParams(ListParams):
    sort: Literal["name", "-name"] = "name"
    kind: Literal["early", "late"] | None = None


class Author(ResponseSchema, frozen=True):
    id: UUID
    name: str


class Titled(ResponseSchema, frozen=True):
    id: UUID
    name: str
    titles: str | None
    posts: int
    latest_id: UUID | None
    latest: Author | None


EARLY = User.name.in_(["a", "b", "c"])
LIST_AUTHORS = ListQuery(
    select(
        User.id,
        User.name,
        sa.func.aggregate_strings(Post.title, ",").label("titles"),
        sa.func.count(Post.id).label("posts"),
        sa.case((sa.func.count(Post.id) > 0, User.id)).label("latest_id"),
        sa.case((sa.func.count(Post.id) > 0, User.id)).label("latest_id"),
        sa.case((sa.func.count(Post.id) > 0, User.name)).label("latest_name"),
    )
    .outerjoin(Post, Post.author_id == User.id)
    .group_by(User.id, User.name),
    Page[Titled],
    TagParams,
    filters={"kind": {"early": EARLY, "late": sa.not_(EARLY)}},
)


async def test_a_list_may_group_aggregate_and_filter_by_choice(
    database: Database, crowd: list[User]
) -> None:
    async with database.unit_of_work() as session:
        for title in ("p", "q"):
            session.add(Post(author_id=crowd[1].id, title=title, content="C"))
    async with database.unit_of_work() as session:
        for kind, names in [(None, "abcde"), ("early", "abc"), ("late", "de")]:
            page = await session.fetch_page(LIST_AUTHORS, TagParams(kind=kind, limit=2))
            assert (page.total, page.pages) == (len(names), -(-len(names) // 2))
            assert [item.name for item in page.items] == [*names[:2]]
        page = await session.fetch_page(LIST_AUTHORS, TagParams(limit=3))
    a, b, _ = page.items
    assert (a.titles, a.posts, a.latest_id, a.latest) == (None, 0, None, None)
    assert (b.titles, b.posts) in [("p,q", 2), ("q,p", 2)]
    assert b.latest == Author(crowd[1].id, "b")
    assert b.latest_id == b.latest.id


# Statements that are refused when they are declared, or before the first request.

amount = sa.column("amount", ExactDecimal(5, 2))
share = sa.column("share", sa.Float())
raw = sa.column("raw", sa.LargeBinary())


class Lowered(sa.types.TypeDecorator[str]):
    impl = sa.String
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.func.lower(bindvalue)


lowered = sa.column("lowered", Lowered())
pair = sa.tuple_(User.id, User.role)
REFUSED: list[tuple[str, Any]] = [
    ("has callable_", User.created_at > bindparam("now", callable_=datetime.now)),
    ("has callable_", User.created_at > bindparam(None, callable_=datetime.now)),
    ("has literal_execute", User.name == bindparam("n", literal_execute=True)),
    ("list outside", sa.func.coalesce(bindparam("n", expanding=True)) == "x"),
    ("list of tuples", pair.in_(bindparam("pairs"))),
    ("list of decimals", amount.in_(bindparam("amounts"))),
    ("list of decimals", share.in_(bindparam("shares"))),
    ("list of decimals", raw.in_(bindparam("raws"))),
    ("writes SQL around", lowered.in_(bindparam("texts"))),
]


@pytest.mark.parametrize(("reason", "condition"), REFUSED)
def test_a_condition_that_needs_its_values_to_compile_is_refused(
    reason: str, condition: Any
) -> None:
    with pytest.raises(TypeError, match=f"the query's parameter '.*{reason}"):
        Query(BY_NAME.where(condition), Named)
    with pytest.raises(TypeError, match=reason):
        ListQuery(
            BY_NAME.order_by(None),
            Page[Author],
            TagParams,
            filters={"kind": {"early": condition, "late": sa.true()}},
        )


class OnlyPostgres(sa.sql.functions.GenericFunction[str]):
    """A construct that only PostgreSQL can express."""

    name = "only_postgres"
    inherit_cache = True
    type = sa.String()


@compiles(OnlyPostgres)
def _refuse(element: Any, compiler: Any, **_: Any) -> str:
    raise sa.exc.UnsupportedCompilationError(compiler, type(element))


@compiles(OnlyPostgres, "postgresql")
def _write(element: Any, compiler: Any, **_: Any) -> str:
    return "'only'"


def test_a_statement_without_sql_for_the_database_fails_at_startup(
    settings: Settings,
) -> None:
    query = Query(select(OnlyPostgres().label("text")), Text)
    if settings.resolved_database_url.get_backend_name() == "postgresql":
        assert create_app(settings, []).routes
    else:
        with pytest.raises(
            TypeError, match=r"Query of Text has no SQL for sqlite: .*OnlyPostgres"
        ):
            create_app(settings, [])
    del query


def test_a_model_whose_columns_are_deferred_is_refused() -> None:
    class Registry(sa.orm.DeclarativeBase):
        pass

    class Thing(Registry):
        __tablename__ = "things"
        id: sa.orm.Mapped[int] = sa.orm.mapped_column(primary_key=True)
        big: sa.orm.Mapped[str] = sa.orm.mapped_column(deferred=True)
        last: sa.orm.Mapped[str]

    class Row(msgspec.Struct):
        id: int
        big: str
        last: str

    query = Query(select(Thing), Row)
    with pytest.raises(TypeError, match="declares 3 columns and its SQL has 2"):
        query.compiled_for(sqlite.dialect())


def test_declaring_a_query_does_not_need_models_that_come_later() -> None:
    class Registry(sa.orm.DeclarativeBase):
        pass

    class Early(Registry):
        __tablename__ = "early"
        id: sa.orm.Mapped[int] = sa.orm.mapped_column(primary_key=True)
        late: sa.orm.Mapped[list["Late"]] = sa.orm.relationship()

    class Row(msgspec.Struct):
        id: int

    query = Query(select(Early.id).where(Early.id.in_(bindparam("ids"))), Row)

    class Late(Registry):
        __tablename__ = "late"
        id: sa.orm.Mapped[int] = sa.orm.mapped_column(primary_key=True)
        early_id: sa.orm.Mapped[int] = sa.orm.mapped_column(sa.ForeignKey("early.id"))

    assert "json_each" in query.compiled_for(sqlite.dialect()).sql


def test_every_built_in_statement_has_sql_for_both_databases() -> None:
    postgresql = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    for dialect in (sqlite.dialect(), postgresql):
        compile_declared(dialect)

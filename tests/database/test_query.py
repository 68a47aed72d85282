import asyncio
import sqlite3
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import bindparam, select
from sqlalchemy.dialects import sqlite

from bedplate.database import Query
from bedplate.database.query import Statement
from bedplate.database.search import contains
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.plugin import MakeUser


class Inner(msgspec.Struct, frozen=True):
    id: Any
    name: Any


class Flat(msgspec.Struct, frozen=True):
    id: Any
    name: Any


class Nested(msgspec.Struct, frozen=True):
    id: Any
    author: Inner
    title: Any
    editor: Inner


values = st.one_of(st.none(), st.integers(), st.text(), st.uuids())


@given(st.tuples(values, values))
def test_a_row_becomes_its_struct(row: tuple[Any, Any]) -> None:
    query = Query(select(User.id, User.name), Flat)

    assert query.build(row) == Flat(*row)


@given(st.tuples(*[values] * 6))
def test_a_nested_struct_takes_as_many_columns_as_it_has_fields(
    row: tuple[Any, ...],
) -> None:
    labels = ["id", "author_id", "author_name", "title", "editor_id", "editor_name"]
    query = Query(select(*(sa.literal(0).label(name) for name in labels)), Nested)
    id_, author_id, author_name, title, editor_id, editor_name = row

    expected = Nested(
        id_, Inner(author_id, author_name), title, Inner(editor_id, editor_name)
    )
    assert query.build(row) == expected
    assert query.build(list(row)) == expected


@pytest.mark.parametrize(
    "columns",
    [
        (User.id,),
        (User.name, User.id),
        (User.id, User.email),
        (User.id, User.name, User.role),
    ],
)
def test_columns_that_do_not_match_the_struct_are_refused_at_startup(
    columns: tuple[Any, ...],
) -> None:
    with pytest.raises(TypeError, match="Flat needs columns"):
        Query(select(*columns), Flat)


class Literals(msgspec.Struct, frozen=True):
    integer: int
    text: str
    boolean: bool
    instant: datetime
    uuid: UUID


async def test_values_come_back_unchanged(app: Application) -> None:
    instant = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    types = {
        "integer": sa.BigInteger(),
        "text": sa.String(),
        "boolean": User.is_active.type,
        "instant": User.created_at.type,
        "uuid": sa.Uuid(),
    }
    columns = [bindparam(f"a_{n}", type_=t).label(n) for n, t in types.items()]
    query = Query(select(*columns), Literals)
    expected = Literals(2**40, "é'\\%", boolean=True, instant=instant, uuid=UUID(int=5))
    arguments = {f"a_{name}": getattr(expected, name) for name in types}

    async with app.state.runtime.database.unit_of_work() as session:
        assert await session.fetch_one(query, **arguments) == expected


async def test_the_error_names_a_missing_parameter(app: Application) -> None:
    query = Query(
        select(User.id, User.name).where(User.name == bindparam("user_name")), Flat
    )
    async with app.state.runtime.database.unit_of_work() as session:
        with pytest.raises(TypeError, match="'user_name' is missing"):
            await session.fetch_one(query)


FIND_BY_NAME = Query(
    select(User.id, User.name).where(User.name == bindparam("user_name")), Flat
)


async def test_an_instant_is_compared_as_an_instant(
    app: Application, make_user: MakeUser
) -> None:
    whole = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = await make_user(created_at=whole)
    later = await make_user(created_at=whole.replace(microsecond=1))
    since = bindparam("since", type_=User.created_at.type)
    query = Query(
        select(User.id, User.name)
        .where(User.created_at >= since)
        .order_by(User.created_at),
        Flat,
    )

    async with app.state.runtime.database.unit_of_work() as session:
        rows = await session.fetch_all(query, since=whole)
        after = await session.fetch_all(query, since=whole.replace(microsecond=1))
    assert [row.id for row in rows] == [first.id, later.id]
    assert [row.id for row in after] == [later.id]


def test_a_statement_is_compiled_once_per_dialect() -> None:
    statement = Statement(select(User.id))
    dialect = sqlite.dialect()

    assert statement.compiled_for(dialect) is statement.compiled_for(dialect)


# Reads inside and outside of transactions.


async def test_a_read_in_a_writing_transaction_sees_its_writes(
    app: Application, make_user: MakeUser
) -> None:
    await make_user(name="Old")
    database = app.state.runtime.database
    async with database.unit_of_work() as session:
        user = (await session.scalars(select(User))).one()
        user.name = "New"

        assert await session.fetch_one(FIND_BY_NAME, user_name="New") is not None
        assert await session.fetch_one(FIND_BY_NAME, user_name="Old") is None
        for name, is_there in (("Old", True), ("New", False)):
            outside = database.fetch_one(FIND_BY_NAME, user_name=name)
            row = await asyncio.create_task(outside)
            assert (row is not None) is is_there
    async with database.unit_of_work() as later:
        assert await later.fetch_one(FIND_BY_NAME, user_name="New") is not None


async def test_a_read_after_the_commit_of_its_session_sees_the_stored_row(
    app: Application, make_user: MakeUser
) -> None:
    await make_user(name="Old")
    database = app.state.runtime.database
    async with database.unit_of_work() as session:
        (await session.scalars(select(User))).one().name = "New"
        await session.commit()

        assert await session.fetch_one(FIND_BY_NAME, user_name="New") is not None


async def test_an_added_entity_is_read_before_it_was_flushed(
    app: Application,
) -> None:
    async with app.state.runtime.database.unit_of_work() as session:
        session.add(User(email="a@example.com", name="Added", hashed_password="x"))
        assert await session.fetch_one(FIND_BY_NAME, user_name="Added") is not None


async def test_rows_that_were_rolled_back_are_not_read(
    app: Application, make_user: MakeUser
) -> None:
    await make_user(name="Old")
    database = app.state.runtime.database

    async def fail_after_writing() -> None:
        async with database.unit_of_work() as session:
            (await session.scalars(select(User))).one().name = "New"
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_writing()
    async with database.unit_of_work() as session:
        assert await session.fetch_one(FIND_BY_NAME, user_name="New") is None
        assert await session.fetch_one(FIND_BY_NAME, user_name="Old") is not None


# LIKE.


@given(st.text(max_size=20), st.text(max_size=20))
@example("%", "%a")
@example("_", "x")
@example("\\", "a\\b")
@example("\\%", "\\%")
def test_a_like_pattern_matches_exactly_the_texts_that_contain_it(
    part: str, text: str
) -> None:
    part, text = part.replace("\x00", ""), text.replace("\x00", "")
    with sqlite3.connect(":memory:") as connection:
        connection.execute("PRAGMA case_sensitive_like=ON")
        sql = "SELECT ? LIKE ? ESCAPE '\\'"
        for haystack in (text, text + part, part + text):
            (matches,) = connection.execute(sql, (haystack, contains(part))).fetchone()
            assert bool(matches) is (part in haystack)
    connection.close()

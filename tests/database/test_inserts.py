"""`Session.insert` sends a lone row as one statement, others in a transaction."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from support import read_table
from uuid_utils.compat import uuid7

from bedplate.core.errors import Conflict, ServiceUnavailable
from bedplate.database import Base, Database, Session
from bedplate.database.driver_errors import BrokenReference
from bedplate.database.inserts import insert_of
from bedplate.example.posts.models import Post
from bedplate.example.posts.repository import FIND_POST
from bedplate.jobs import enqueue
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.jobs.tasks import purge_jobs
from bedplate.modules.users.errors import EmailTaken
from bedplate.modules.users.models import User
from bedplate.testing.guards import recorded_statements
from bedplate.testing.plugin import RunJobs


@pytest.fixture
def database(app: Application) -> Database:
    database: Database = app.state.runtime.database
    return database


def a_post(author_id: UUID, title: str = "T") -> Post:
    return Post(author_id=author_id, title=title, content="C")


async def titles(app: Application) -> list[str]:
    return sorted(post.title for post in await read_table(app, Post))


def verbs(statements: list[str]) -> list[str]:
    return [statement.split()[0] for statement in statements]


async def test_a_lone_row_is_one_statement(
    app: Application, database: Database, user: User
) -> None:
    post = a_post(user.id)
    transactions: list[Any] = []
    sa.event.listen(database.engine.sync_engine, "begin", transactions.append)
    with recorded_statements(database) as statements:
        async with database.unit_of_work() as session:
            await session.insert(post)
            assert not session.in_transaction()

    assert (verbs(statements), transactions) == (["INSERT"], [])
    [row] = await read_table(app, Post)
    assert row._asdict() == {c.name: getattr(post, c.name) for c in row_columns(Post)}


def row_columns(model: type[Base]) -> Any:
    return model.__table__.columns


async def test_defaults_and_values_of_every_type_are_stored_as_the_orm_does(
    app: Application, database: Database
) -> None:
    values: dict[str, Any] = {"action": "x", "details": {"é": [1, None, {"a": 0.5}]}}
    rows = [AuditEvent(**values), AuditEvent(**values, ip=None, subject_id=uuid7())]
    async with database.unit_of_work() as session:
        await session.insert(rows[0])
    async with database.unit_of_work() as session:
        await session.insert(AuditEvent(action="with another"))
        await session.insert(rows[1])

    stored = {row.id: row for row in await read_table(app, AuditEvent)}
    for event in rows:
        row = stored[event.id]
        assert row._asdict() == {
            c.name: getattr(event, c.name) for c in row_columns(AuditEvent)
        }


async def test_several_writes_are_one_transaction_in_their_order(
    app: Application, database: Database, user: User
) -> None:
    author = User(email="a@example.com", name="A", hashed_password="x")
    with recorded_statements(database) as statements:
        async with database.unit_of_work() as session:
            await session.insert(author)
            await session.insert(a_post(author.id, "second"))  # refers to the author
            await session.execute(sa.update(Post).values(title="third"))
            session.add(a_post(user.id, "fourth"))

    writes = [v for v in verbs(statements) if v in {"INSERT", "UPDATE"}]
    assert writes == ["INSERT", "INSERT", "UPDATE", "INSERT"]
    assert await titles(app) == ["fourth", "third"]


async def test_rows_that_were_added_earlier_are_flushed_first(
    app: Application, database: Database
) -> None:
    # The inserted row may refer to a row that was added and not flushed.
    author = User(id=uuid7(), email="new@example.com", name="New", hashed_password="!")
    async with database.unit_of_work() as session:
        session.add(author)
        await session.insert(a_post(author.id))

    assert await titles(app) == ["T"]


async def test_a_rollback_undoes_it_at_any_position(
    app: Application, database: Database, user: User, run_jobs: RunJobs
) -> None:
    async def alone(session: Session) -> None:
        await session.insert(a_post(user.id))

    async def before(session: Session) -> None:
        await session.insert(a_post(user.id))
        await session.execute(sa.update(User).values(name="Never"))

    async def after(session: Session) -> None:
        await session.execute(sa.update(User).values(name="Never"))
        await session.insert(a_post(user.id))

    async def with_job(session: Session) -> None:
        await session.insert(a_post(user.id))
        await enqueue(session, purge_jobs)

    for write in (alone, before, after, with_job):
        with suppress(ZeroDivisionError):
            async with database.unit_of_work() as session:
                await write(session)
                raise ZeroDivisionError
        assert await titles(app) == [], write.__name__
    assert [row.name for row in await read_table(app, User)] == [user.name]
    assert await run_jobs() == []


async def test_a_job_commits_with_it(
    app: Application, database: Database, user: User, run_jobs: RunJobs
) -> None:
    async with database.unit_of_work() as session:
        await session.insert(a_post(user.id))
        await enqueue(session, purge_jobs)

    assert await titles(app) == ["T"]
    assert await run_jobs() == ["purge_jobs"]


async def test_a_savepoint_undoes_only_its_own_rows(
    app: Application, database: Database, user: User
) -> None:
    async with database.unit_of_work() as session:
        await session.insert(a_post(user.id, "before"))
        with suppress(ZeroDivisionError):
            async with session.begin_nested():
                await session.insert(a_post(user.id, "inside"))
                raise ZeroDivisionError
        await session.insert(a_post(user.id, "after"))

    assert await titles(app) == ["after", "before"]


async def test_a_read_of_the_same_session_sees_it(
    database: Database, user: User
) -> None:
    async with database.unit_of_work() as session:
        post = a_post(user.id)
        await session.insert(post)
        row = await session.fetch_one(
            FIND_POST["own"], post_id=post.id, caller_id=user.id
        )
        assert row is not None
        assert row.created_at == post.created_at
    async with database.unit_of_work() as session:
        post = a_post(user.id)
        await session.insert(post)
        assert (await session.get(Post, post.id)) is not None
        outside = database.fetch_one(FIND_POST["all"], post_id=post.id, caller_id=None)
        assert await asyncio.create_task(outside) is None, "it is already committed"


async def test_a_violated_constraint_raises_its_error_at_the_end(
    app: Application, database: Database, user: User
) -> None:
    duplicate = {"email": user.email, "name": "N", "hashed_password": "x"}
    cases: list[tuple[Base, type[Conflict]]] = [
        (User(**duplicate), EmailTaken),
        (a_post(uuid7()), BrokenReference),
    ]
    inserted: list[Base] = []

    async def alone(row: Base) -> None:
        async with database.unit_of_work() as session:
            await session.insert(row)
            inserted.append(row)

    async def with_another(row: Base) -> None:
        async with database.unit_of_work() as session:
            session.add(a_post(user.id))
            await session.flush()
            await session.insert(row)

    users = await read_table(app, User)
    for row, error in cases:
        for write in (alone, with_another):
            with pytest.raises(error):
                await write(row)
    # Alone, the insert itself doesn't raise: the unit of work does, at its end.
    assert inserted == [row for row, _ in cases]
    assert (await read_table(app, User), await titles(app)) == (users, [])


async def test_a_row_without_a_value_is_refused_before_it_is_sent(
    app: Application, database: Database, user: User
) -> None:
    with pytest.raises(TypeError, match=r"posts\.content has no value"):
        insert_of(Post(author_id=user.id, title="T"))
    async with database.unit_of_work() as session:
        with pytest.raises(TypeError):
            await session.insert(Post(title="T"))
    assert await titles(app) == []


async def test_a_lost_connection_is_503_and_writes_nothing(
    app: Application, database: Database, user: User
) -> None:
    # The connection dies during the statement. The next unit of work has a new one.
    if database.is_sqlite:
        await lock_sqlite(app, database, user)
    else:
        await kill_backends(app, database, user)
    async with database.unit_of_work() as session:
        await session.insert(a_post(user.id, "next"))
    assert await titles(app) == ["next"]


async def kill_backends(app: Application, database: Database, user: User) -> None:
    """Kill the backend of an INSERT, which waits for a lock on its table."""
    kill = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    # Autocommit: within one transaction, the view would not change.
    options = {"isolation_level": "AUTOCOMMIT"}
    async with asyncio.timeout(20), database.engine.connect() as blocker:
        await blocker.execute(sa.text("LOCK TABLE posts IN EXCLUSIVE MODE"))
        insert = asyncio.create_task(insert_post(database, user))

        async def kill_the_insert() -> None:
            async with database.engine.connect() as killer:
                await killer.execution_options(**options)
                while not (await killer.execute(kill)).all():  # noqa: ASYNC110, a process
                    await asyncio.sleep(0.01)

        await asyncio.create_task(kill_the_insert())
        with pytest.raises(ServiceUnavailable):
            await insert
    assert await titles(app) == []


async def lock_sqlite(app: Application, database: Database, user: User) -> None:
    """Insert while another connection writes for longer than the busy timeout."""
    async with database.unit_of_work() as session:
        await session.execute(sa.text("PRAGMA busy_timeout=50"))
    other = Database(database.url, cursor_keys=[b""])
    async with other.unit_of_work() as session:
        await session.execute(sa.update(User).values(name="Other"))
        with pytest.raises(ServiceUnavailable):
            await insert_post(database, user)
    await other.close()
    assert await titles(app) == []


async def insert_post(database: Database, user: User) -> None:
    async with database.unit_of_work() as session:
        await session.insert(a_post(user.id))


async def test_a_lock_is_held_until_the_unit_of_work_ends(database: Database) -> None:
    async with database.unit_of_work() as first, database.unit_of_work() as second:
        assert first.try_lock(7)
        assert first.try_lock(7)  # the holder can take it again
        assert not second.try_lock(7)
        assert second.try_lock(8)
    with suppress(ZeroDivisionError):
        async with database.unit_of_work() as third:
            assert third.try_lock(7)
            raise ZeroDivisionError
    async with database.unit_of_work() as fourth:
        assert fourth.try_lock(7)
        assert fourth.try_lock(8)

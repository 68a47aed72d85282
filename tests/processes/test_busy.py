"""Overload: requests wait for a limited time, and only those that have to."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from httpx import AsyncClient, Response

from bedplate.database import Database
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.plugin import PASSWORD

POOL_TIMEOUT = 0.5
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    return {"pool_size": 1, "pool_timeout": POOL_TIMEOUT}


@pytest.fixture
def database(app: Application) -> Database:
    database: Database = app.state.runtime.database
    return database


async def sign_up(client: AsyncClient, name: str = "new") -> Response:
    body = {"email": f"{name}@example.com", "name": "New", "password": PASSWORD}
    return await client.post("/users", json=body)


async def poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def assert_unavailable(response: Response) -> None:
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(response.headers["retry-after"]) > 0


@on_postgres
async def test_without_a_free_connection_requests_get_503_in_time_and_recover(
    as_user: AsyncClient, client: AsyncClient, database: Database
) -> None:
    async with database.engine.connect():
        began = time.monotonic()
        read, write = await asyncio.gather(as_user.get("/users/me"), sign_up(client))
        waited = time.monotonic() - began

    assert_unavailable(read)
    assert_unavailable(write)
    assert POOL_TIMEOUT <= waited < POOL_TIMEOUT + 3
    assert (await as_user.get("/users/me")).status_code == 200
    assert (await sign_up(client)).status_code == 201


@contextmanager
def locked_by_another_process(database: Database) -> Iterator[None]:
    """Hold SQLite's write lock with a connection outside the application."""
    with closing(sqlite3.connect(database.url.database or "")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@on_sqlite
async def test_readers_do_not_wait_for_an_open_write(
    as_user: AsyncClient, database: Database, user: User
) -> None:
    async with database.unit_of_work() as session:
        session.add(User(email="w@example.com", name="W", hashed_password="!"))
        await session.flush()
        inside = await as_user.get("/users/me")
    with locked_by_another_process(database):
        outside = await as_user.get("/users/me")

    assert (inside.status_code, outside.status_code) == (200, 200)
    assert inside.json()["id"] == str(user.id)


@on_sqlite
async def test_a_writer_waits_for_the_lock_and_then_writes(
    client: AsyncClient, database: Database
) -> None:
    pool: Any = database.engine.sync_engine.pool
    with locked_by_another_process(database):
        writing = asyncio.create_task(sign_up(client))
        await poll(lambda: pool.checkedout() == 1)
        assert not writing.done()

    assert (await writing).status_code == 201


@on_sqlite
async def test_a_lock_that_is_held_too_long_is_503_and_then_recovers(
    client: AsyncClient, database: Database
) -> None:
    async with database.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute("PRAGMA busy_timeout=100")  # instead of ten seconds
    with locked_by_another_process(database):
        assert_unavailable(await sign_up(client))

    assert (await sign_up(client)).status_code == 201


@on_sqlite
async def test_writers_queue_behind_a_writer_and_are_503_in_time(
    client: AsyncClient, database: Database
) -> None:
    async with database.unit_of_work() as session:
        session.add(User(email="w@example.com", name="W", hashed_password="!"))
        await session.flush()
        responses = await asyncio.gather(sign_up(client, "a"), sign_up(client, "b"))
    for response in responses:
        assert_unavailable(response)

    both = await asyncio.gather(sign_up(client, "a"), sign_up(client, "b"))
    assert [response.status_code for response in both] == [201, 201]

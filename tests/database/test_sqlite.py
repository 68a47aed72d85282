"""The SQLite file is private, and every connection to it has the same functions."""

import asyncio
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from django.db.backends.sqlite3.base import DatabaseWrapper

from bedplate import migrate
from bedplate.config import Settings
from bedplate.database import Database
from bedplate.database.readers import SqliteReader
from bedplate.database.sqlite import unixepoch
from bedplate.django_site.settings import database as django_database
from bedplate.runtime import make_database
from bedplate.testing.databases import TEST_KEY
from bedplate.worker import _sqlite_engine

NOW_MS = "SELECT unixepoch('subsec') * 1000"


def make_settings(folder: Path) -> Settings:
    url = f"sqlite:///{folder / 'app.db'}"
    return Settings.load(_env_file=None, database_url=url, secret_key=TEST_KEY)


async def _query_database(settings: Settings, sql: str) -> Any:
    database = make_database(settings)
    try:
        async with database.engine.connect() as connection:
            return (await connection.exec_driver_sql(sql)).scalar()
    finally:
        await database.close()


async def _query_reader(settings: Settings, sql: str) -> Any:
    reader = SqliteReader(settings.resolved_database_url.database or "")
    try:
        return (await reader.fetch(sql, ()))[0][0]
    finally:
        await reader.close()


async def _query_worker(settings: Settings, sql: str) -> Any:
    engine = _sqlite_engine(settings.resolved_database_url)
    try:
        with engine.begin() as connection:
            return connection.exec_driver_sql(sql).scalar()
    finally:
        engine.dispose()


async def _query_django(settings: Settings, sql: str) -> Any:
    # Without Django's cursor, which needs all of Django's settings.
    def query() -> Any:
        options = {**django_database(settings), "TIME_ZONE": None}
        wrapper: Any = DatabaseWrapper(options)
        parameters = wrapper.get_connection_params()
        with closing(wrapper.get_new_connection(parameters)) as connection:
            return connection.execute(sql).fetchone()[0]

    return await asyncio.to_thread(query)


RunQuery = Callable[[Settings, str], Any]
EVERY_CONNECTION = pytest.mark.parametrize(
    "run_query", [_query_database, _query_reader, _query_worker, _query_django]
)


@EVERY_CONNECTION
async def test_every_connection_supports_milliseconds(
    run_query: RunQuery, tmp_path: Path
) -> None:
    # SQLite supports them from 3.42 on. Before, the engine's default was NULL.
    before = time.time_ns() // 1_000_000
    now = await run_query(make_settings(tmp_path), NOW_MS)

    assert before <= now <= time.time_ns() // 1_000_000
    assert now == int(now)


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2026-11-24 10:00:00", 1795514400),
        ("2026-11-24", 1795478400),
        (2461369.0, 1795521600),
        ("no time", None),
        (None, None),
    ],
)
def test_other_moments_are_the_same_as_sqlite_s(
    moment: str | float | None, seconds: int | None
) -> None:
    assert unixepoch(moment) == seconds
    with closing(sqlite3.connect(":memory:")) as plain:
        query = "SELECT CAST(strftime('%s', ?) AS INTEGER)"
        assert plain.execute(query, (moment,)).fetchone()[0] == seconds


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "022", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}


@EVERY_CONNECTION
async def test_the_first_connection_creates_a_private_file(
    run_query: RunQuery, tmp_path: Path, umask: int
) -> None:
    await run_query(make_settings(tmp_path), "SELECT 1")

    assert modes(tmp_path)["app.db"] == 0o600


async def test_the_files_next_to_it_are_private_too(tmp_path: Path, umask: int) -> None:
    settings = make_settings(tmp_path)
    database = make_database(settings)
    await migrate.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE planted (id INTEGER)"))
        file_modes = modes(tmp_path)
    await database.close()

    assert {"app.db", "app.db-wal", "app.db-shm"} <= file_modes.keys()
    assert set(file_modes.values()) == {0o600}


async def test_a_link_to_a_file_that_does_not_exist_is_followed(
    tmp_path: Path, umask: int
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "app.db").symlink_to(volume / "real.db")
    await _query_database(make_settings(tmp_path), "SELECT 1")

    assert modes(volume)["real.db"] == 0o600


async def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "app.db").touch()
    (tmp_path / "app.db").chmod(0o640)
    await _query_database(make_settings(tmp_path), "SELECT 1")

    assert modes(tmp_path)["app.db"] == 0o640


async def test_opening_again_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    """POSIX drops a process's locks on a file when it closes any handle of it."""
    settings = make_settings(tmp_path)
    database: Database = make_database(settings)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE planted (id INTEGER)"))
        await _query_reader(settings, "SELECT 1")
        # Another process, since the locks work between processes.
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0)"
        code += ".execute('BEGIN IMMEDIATE')"
        path = settings.resolved_database_url.database or ""
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, path, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await other.communicate()
    await database.close()

    assert b"database is locked" in stderr

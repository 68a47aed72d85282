"""The SQLite file: who may read it, and what each connection to it knows."""

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


async def _ask_ours(settings: Settings, sql: str) -> Any:
    database = make_database(settings)
    try:
        async with database.engine.connect() as connection:
            return (await connection.exec_driver_sql(sql)).scalar()
    finally:
        await database.close()


async def _ask_reader(settings: Settings, sql: str) -> Any:
    reads = SqliteReader(settings.resolved_database_url.database or "")
    try:
        return (await reads.fetch(sql, ()))[0][0]
    finally:
        await reads.close()


async def _ask_worker(settings: Settings, sql: str) -> Any:
    engine = _sqlite_engine(settings.resolved_database_url)
    try:
        with engine.begin() as connection:
            return connection.exec_driver_sql(sql).scalar()
    finally:
        engine.dispose()


async def _ask_django(settings: Settings, sql: str) -> Any:
    """Without its cursor, which wants all of Django's settings."""

    def ask() -> Any:
        options = {**django_database(settings), "TIME_ZONE": None}
        wrapper: Any = DatabaseWrapper(options)
        parameters = wrapper.get_connection_params()
        with closing(wrapper.get_new_connection(parameters)) as connection:
            return connection.execute(sql).fetchone()[0]

    return await asyncio.to_thread(ask)


Ask = Callable[[Settings, str], Any]
EVERYONE = pytest.mark.parametrize(
    "ask", [_ask_ours, _ask_reader, _ask_worker, _ask_django]
)


@EVERYONE
async def test_milliseconds_are_known_to_every_connection(
    ask: Ask, tmp_path: Path
) -> None:
    """SQLite itself knows them from 3.42 on; before, the engine's default was NULL."""
    before = time.time_ns() // 1_000_000
    asked = await ask(make_settings(tmp_path), NOW_MS)

    assert before <= asked <= time.time_ns() // 1_000_000
    assert asked == int(asked)


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
def test_other_moments_are_what_sqlite_makes_of_them(
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


@EVERYONE
async def test_whoever_opens_the_file_first_keeps_others_out(
    ask: Ask, tmp_path: Path, umask: int
) -> None:
    await ask(make_settings(tmp_path), "SELECT 1")

    assert modes(tmp_path)["app.db"] == 0o600


async def test_the_files_beside_it_keep_others_out_too(
    tmp_path: Path, umask: int
) -> None:
    settings = make_settings(tmp_path)
    database = make_database(settings)
    await migrate.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE planted (id INTEGER)"))
        found = modes(tmp_path)
    await database.close()

    assert {"app.db", "app.db-wal", "app.db-shm"} <= found.keys()
    assert set(found.values()) == {0o600}


async def test_a_link_to_a_file_yet_to_be_made_is_followed(
    tmp_path: Path, umask: int
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "app.db").symlink_to(volume / "real.db")
    await _ask_ours(make_settings(tmp_path), "SELECT 1")

    assert modes(volume)["real.db"] == 0o600


async def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "app.db").touch()
    (tmp_path / "app.db").chmod(0o640)
    await _ask_ours(make_settings(tmp_path), "SELECT 1")

    assert modes(tmp_path)["app.db"] == 0o640


async def test_opening_again_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    """POSIX drops a process's locks on a file when it closes any handle of it."""
    settings = make_settings(tmp_path)
    database: Database = make_database(settings)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE planted (id INTEGER)"))
        await _ask_reader(settings, "SELECT 1")
        # Another process, since locks are between processes.
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0)"
        code += ".execute('BEGIN IMMEDIATE')"
        path = settings.resolved_database_url.database or ""
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, path, stderr=asyncio.subprocess.PIPE
        )
        _, told = await other.communicate()
    await database.close()

    assert b"database is locked" in told

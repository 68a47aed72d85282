"""Starts that `bedplate serve` refuses; `tests/processes` tries more for real."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

MARKER = "marker-secret"
postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def refusal(bedplate: Any) -> Iterator[Any]:
    """Start the server and return the line of its refusal.

    Its port is in use, so that a start that isn't refused otherwise fails too.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])

        def start(*arguments: str, **settings: Any) -> str:
            done = bedplate("serve", "--port", port, *arguments, **settings)
            assert (done.code, done.out) == (1, "")
            assert MARKER not in done.err
            (line,) = done.err.splitlines()
            return str(line)

        yield start


def test_a_port_in_use_is_reported(refusal: Any) -> None:
    assert "in use" in refusal()


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid", "2001:db8::1"])
def test_an_address_of_another_machine_is_named(refusal: Any, host: str) -> None:
    assert f"can't listen on {host}" in refusal("--host", host)


def test_production_without_a_secret_key_leaves_nothing_behind(
    refusal: Any, tmp_path: Path
) -> None:
    assert "BEDPLATE_SECRET_KEY" in refusal(environment="production")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["missing/app.db", "folder", "garbage.db"])
def test_an_unusable_database_file_is_reported(
    refusal: Any, tmp_path: Path, path: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage.db").write_bytes(b"not a database, " * 64)

    assert "the database: " in refusal(database_url=f"sqlite:///{path}")


def test_a_misspelt_setting_is_named_with_the_nearest_one(
    refusal: Any, tmp_path: Path
) -> None:
    assert "Did you mean BEDPLATE_SIGNUP?" in refusal(signups="closed")
    assert list(tmp_path.iterdir()) == []


@postgres
def test_a_database_that_does_not_exist_is_named(
    refusal: Any, database_url: str
) -> None:
    server = database_url.rpartition("/")[0]
    password = urlsplit(database_url).password

    line = refusal(database_url=f"{server}/nowhere")

    assert "nowhere" in line
    assert password
    assert password not in line


@postgres
@pytest.mark.parametrize(
    "change", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"]
)
def test_a_schema_without_a_version_is_not_at_head(
    refusal: Any, database_url: str, change: str
) -> None:
    asyncio.run(execute(database_url, change))

    assert "run `bedplate migrate` first" in refusal(database_url=database_url)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

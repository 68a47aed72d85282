"""A start that can't work prints one clear line on standard error, and no secret."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bedplate.testing.servers import run_command

MARKER = "marker-secret"


def start_error(folder: Path, *arguments: str, **settings: Any) -> str:
    """Return the one line that a failed start prints."""
    process = run_command(folder, "serve", "--port", "0", *arguments, **settings)
    lines = process.stderr.splitlines()

    assert process.returncode not in (0, None)
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("bedplate: ")
    assert MARKER not in process.stdout + process.stderr
    assert "is serving" not in process.stdout
    return lines[0]


def test_a_wrong_secret_is_named_without_its_value(tmp_path: Path) -> None:
    line = start_error(tmp_path, secret_key=MARKER)

    assert line == (
        "bedplate: BEDPLATE_SECRET_KEY: the value is too short. "
        "Use at least 32 bytes. Create one with: openssl rand -hex 32"
    )


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        line = start_error(tmp_path, "--port", port)

    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_data_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    line = start_error(tmp_path, data_dir="file/data")

    assert "BEDPLATE_DATA_DIR" in line
    assert "file/data" in line


def test_a_database_that_is_down_is_reported_without_its_url(tmp_path: Path) -> None:
    url = f"postgresql://bedplate:{MARKER}@127.0.0.1:1/app"

    assert "database" in start_error(tmp_path, database_url=url)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_schema_that_is_behind_is_reported_with_the_command_to_run(
    tmp_path: Path, database_url: str
) -> None:
    asyncio.run(fall_behind(database_url))

    line = start_error(tmp_path, "--workers", "2", database_url=database_url)

    assert "schema is not at head" in line
    assert "bedplate migrate" in line


async def fall_behind(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "UPDATE alembic_version SET version_num = '0001' "
            "WHERE version_num NOT LIKE 'posts%'"
        )
    finally:
        await connection.close()

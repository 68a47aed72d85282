"""A start that cannot work: one clear line on standard error, and never a secret."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bedplate.testing.servers import run_command

MARKER = "marker-secret"


def refusal(folder: Path, *arguments: str, **settings: Any) -> str:
    """The one line that a start is refused with."""
    done = run_command(folder, "serve", "--port", "0", *arguments, **settings)
    lines = done.stderr.splitlines()

    assert done.returncode not in (0, None)
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("bedplate: ")
    assert MARKER not in done.stdout + done.stderr
    assert "is serving" not in done.stdout
    return lines[0]


def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    line = refusal(tmp_path, secret_key=MARKER)

    assert line == (
        "bedplate: BEDPLATE_SECRET_KEY: must be at least 32 bytes long. "
        "Make one with: openssl rand -hex 32"
    )


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refusal(tmp_path, "--port", port)

    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    line = refusal(tmp_path, data_dir="file/data")

    assert "BEDPLATE_DATA_DIR" in line
    assert "file/data" in line


def test_a_database_that_is_down_is_told_without_its_url(tmp_path: Path) -> None:
    url = f"postgresql://bedplate:{MARKER}@127.0.0.1:1/app"

    assert "database" in refusal(tmp_path, database_url=url)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_schema_that_is_behind_is_told_with_what_to_run(
    tmp_path: Path, database_url: str
) -> None:
    asyncio.run(fall_behind(database_url))

    line = refusal(tmp_path, "--workers", "2", database_url=database_url)

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

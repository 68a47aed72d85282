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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("secret_key", MARKER, "at least 32 bytes"),
        ("database_url", f"{MARKER}@nowhere", "is not a database URL"),
        ("database_url", f"mysql://me:{MARKER}@host/app", "postgresql://"),
        ("pool_timeout", f"{MARKER}", "number"),
        ("trusted_proxies", f"10.0.0.0/8, {MARKER}", "IPv4"),
        ("environment", MARKER, "development"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    line = refusal(tmp_path, **{name: value})

    assert f"BEDPLATE_{name.upper()}" in line
    assert said in line


def test_production_without_a_secret_key_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, environment="production")

    assert "BEDPLATE_SECRET_KEY" in line
    assert not (tmp_path / ".bedplate").exists()


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


@pytest.mark.parametrize("path", ["missing/app.db", "folder", "garbage.db"])
def test_a_database_file_that_cannot_be_used_is_refused(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage.db").write_bytes(b"not a database, " * 64)

    line = refusal(tmp_path, database_url=f"sqlite:///{path}")

    assert "database" in line


def test_a_database_that_is_down_is_told_without_its_url(tmp_path: Path) -> None:
    url = f"postgresql://bedplate:{MARKER}@127.0.0.1:1/app"

    assert "database" in refusal(tmp_path, database_url=url)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_does_not_exist_is_named(
    tmp_path: Path, database_url: str
) -> None:
    url = database_url.rpartition("/")[0]

    assert "nowhere" in refusal(tmp_path, database_url=f"{url}/nowhere")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '0000'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_a_schema_that_is_not_at_head_is_told_with_what_to_run(
    tmp_path: Path, database_url: str, change: str
) -> None:
    asyncio.run(execute(database_url, change))

    line = refusal(tmp_path, "--workers", "2", database_url=database_url)

    assert "schema is not at head" in line
    assert "bedplate migrate" in line


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    # TEST-NET-1 (RFC 5737): nobody's.
    assert "192.0.2.1" in refusal(tmp_path, "--host", "192.0.2.1")
    assert "nowhere.invalid" in refusal(tmp_path, "--host", "nowhere.invalid")

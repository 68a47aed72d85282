"""Files are readable by their owner only, and `doctor` reports those that aren't."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bedplate.config import Settings


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "022", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the modes of a directory and of everything in it."""
    return {
        path.relative_to(folder.parent).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (folder, *folder.rglob("*"))
    }


def is_private(mode: int) -> bool:
    return not mode & (stat.S_IRWXG | stat.S_IRWXO)


def test_the_data_directory_is_private(
    bedplate: Any, tmp_path: Path, umask: int
) -> None:
    assert bedplate("migrate").code == 0
    by_path = modes(tmp_path / ".bedplate")

    assert by_path[".bedplate"] == 0o700
    assert by_path[".bedplate/secret_key"] == 0o600
    assert by_path[".bedplate/bedplate.db"] == 0o600
    assert all(is_private(mode) for mode in by_path.values()), by_path


def test_a_database_file_elsewhere_is_private_too(
    bedplate: Any, tmp_path: Path, umask: int
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o777)
    url = f"sqlite:///{tmp_path}/elsewhere/app.db"
    assert bedplate("migrate", database_url=url).code == 0

    assert modes(tmp_path / "elsewhere")["elsewhere/app.db"] == 0o600


def test_the_doctor_accepts_the_files_of_the_commands(
    bedplate: Any, umask: int
) -> None:
    assert bedplate("migrate").code == 0
    done = bedplate("doctor")

    assert done.code == 0, done.out
    assert "data files are readable by their owner only" in done.out


@pytest.mark.parametrize(
    ("wide", "command"),
    [
        (".bedplate", "chmod 700"),
        (".bedplate/bedplate.db", "chmod 600"),
        (".bedplate/bedplate.db-wal", "chmod 600"),
        (".bedplate/bedplate.db-journal", "chmod 600"),
        (".bedplate/outbox", "chmod 700"),
        (".bedplate/outbox/a b.eml", "chmod 600"),
    ],
)
def test_the_doctor_names_an_exposed_file_and_the_command_that_fixes_it(
    bedplate: Any, tmp_path: Path, wide: str, command: str
) -> None:
    assert bedplate("migrate").code == 0
    path = tmp_path / wide
    if "outbox" in wide:
        (tmp_path / ".bedplate/outbox").mkdir(mode=0o700)
    if not path.exists():
        path.touch()
    path.chmod(0o755 if path.is_dir() else 0o640)

    done = bedplate("doctor")

    assert done.code == 1
    mode = "0755" if path.is_dir() else "0640"
    quoted = f"'{path}'" if " " in str(path) else str(path)
    assert f"{path} is open to other users (mode {mode}): run `{command} {quoted}`" in (
        done.out
    )


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    """Others may use it too, so `doctor` reports its mode and nothing changes it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    Settings.load(_env_file=None, data_dir=tmp_path / "data").make_data_dir()

    assert modes(tmp_path / "data") == {"data": 0o755}

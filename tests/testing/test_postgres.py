"""The PostgreSQL server of the tests requires its password."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bedplate.testing.postgres import LocalPostgres, local_server

SOMEBODY = 54321  # a user id that no account has


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    before = os.umask(0o077)  # as an administrator's shell may have it
    try:
        with local_server() as server:
            yield server
    finally:
        os.umask(before)


@pytest.fixture(params=["tcp", "socket"])
def way(request: pytest.FixtureRequest, server: LocalPostgres) -> dict[str, Any]:
    """Return the ways to connect to the server, without a password."""
    url = make_url(server.url)
    by_tcp = request.param == "tcp"
    host = url.host if by_tcp else str(server._home)
    return {"host": host, "port": url.port, "user": url.username, "dbname": "postgres"}


def test_its_password_opens_it(server: LocalPostgres, way: dict[str, Any]) -> None:
    password = make_url(server.url).password
    with psycopg.connect(**way, password=password) as connection:
        [encrypted] = connection.execute(
            "SELECT rolpassword LIKE 'SCRAM-SHA-256$1:%' FROM pg_authid"
            " WHERE rolname = 'bedplate'"
        ).fetchone() or [None]

    assert encrypted
    assert len(str(password)) == 32


@pytest.mark.parametrize("password", ["", "bedplate", "postgres"])
def test_nothing_else_does(way: dict[str, Any], password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(**way, password=password)


def test_each_server_has_a_password_of_its_own(server: LocalPostgres) -> None:
    with local_server() as other:
        assert make_url(other.url).password != make_url(server.url).password


def test_no_rule_trusts_anybody(server: LocalPostgres) -> None:
    rules = (server._home / "data/pg_hba.conf").read_text().splitlines()
    methods = {rule.split()[-1] for rule in rules if rule and rule[0] != "#"}

    assert methods == {"scram-sha-256"}


def test_another_user_of_the_machine_gets_at_no_file(server: LocalPostgres) -> None:
    home = server._home
    [socket] = [path for path in home.iterdir() if path.is_socket()]

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        for path in (home, home / "data/pg_hba.conf", socket):
            assert not _somebody_sees(path)
        assert _somebody_sees(Path("/tmp"))  # noqa: S108, it is only looked at


def _somebody_sees(path: Path) -> bool:
    done = subprocess.run(
        ["/bin/ls", path], user=SOMEBODY, capture_output=True, check=False
    )
    return done.returncode == 0

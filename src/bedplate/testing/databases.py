"""Databases for tests: fresh, migrated, of both kinds, never the developer's own."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from bedplate import migrate
from bedplate.config import Settings
from bedplate.database.sqlite import create_private_file
from bedplate.dispatcher import django_is_installed
from bedplate.module import Module, migrations_of
from bedplate.runtime import make_database
from bedplate.testing.postgres import local_postgres

TEST_KEY = "a key for tests, at least 32 bytes long"


_made: set[str] = set()


class NotATestDatabase(Exception):
    """A test would run on a database that the kit didn't make."""


def refuse_unless_made_here(url: str) -> None:
    """Tests write what they like, so they get no database but a throw-away one.

    Raises:
        NotATestDatabase: it is another's, such as the developer's own.
    """
    if url not in _made:
        raise NotATestDatabase(
            "tests run on databases that the test kit makes and drops, and on no "
            "other: don't set `database_url`"
        )


@contextmanager
def _known(url: str) -> Iterator[str]:
    _made.add(url)
    try:
        yield url
    finally:
        _made.discard(url)


def migrate_url(url: str, data_dir: Path, modules: Sequence[Module]) -> None:
    """Bring a test database to head, Django's own tables included if it is there."""
    settings = Settings.load(
        _env_file=None,
        database_url=url,
        secret_key=TEST_KEY,
        data_dir=data_dir,
        allowed_hosts="test",
    )

    async def work() -> None:
        database = make_database(settings)
        try:
            await migrate.upgrade(database, migrations_of(modules))
        finally:
            await database.close()

    asyncio.run(work())
    if django_is_installed():
        from bedplate.testing.django_side import migrate_django

        migrate_django(settings, modules)


class SqliteDatabases:
    """Copies of one migrated file."""

    def __init__(self, directory: Path, modules: Sequence[Module]) -> None:
        self._directory = directory
        self._template = directory / "template.db"
        migrate_url(f"sqlite:///{self._template}", directory, modules)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """A migrated database's URL; the database is gone afterwards."""
        path = self._directory / f"{uuid4().hex}.db"
        create_private_file(str(path))
        shutil.copyfile(self._template, path)
        with _known(f"sqlite:///{path}") as url:
            yield url
        for file in self._directory.glob(f"{path.name}*"):
            file.unlink()


# A database that somebody is connected to can't be cloned, and what migrated it may be
# slow to leave.
_HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = 'bedplate_template'"
)


class PostgresDatabases:
    """Clones of one migrated database on a server of our own."""

    def __init__(
        self, server_url: str, directory: Path, modules: Sequence[Module]
    ) -> None:
        self._server_url = server_url
        self._base = server_url.rpartition("/")[0]
        self._execute("CREATE DATABASE bedplate_template")
        migrate_url(f"{self._base}/bedplate_template", directory, modules)
        self._execute(_HANG_UP)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """A migrated database's URL; the database is gone afterwards."""
        name = f"test_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE bedplate_template")
        with _known(f"{self._base}/{name}") as url:
            yield url
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        async def work() -> None:
            connection = await asyncpg.connect(self._server_url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(work())


__all__ = ["PostgresDatabases", "SqliteDatabases", "local_postgres"]

"""Databases for tests: fresh, migrated, of both kinds, never the developer's."""

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


_test_urls: set[str] = set()


class NotATestDatabase(Exception):
    """A test would run on a database that the test kit didn't create."""


def refuse_unless_made_here(url: str) -> None:
    """Check that a database is a temporary one, because tests write to it.

    Raises:
        NotATestDatabase: it is another one, such as the developer's.
    """
    if url not in _test_urls:
        raise NotATestDatabase(
            "Tests only run on databases that the test kit creates and drops. "
            "Remove `database_url` from `setting_overrides`."
        )


@contextmanager
def _registered(url: str) -> Iterator[str]:
    _test_urls.add(url)
    try:
        yield url
    finally:
        _test_urls.discard(url)


def migrate_url(url: str, data_dir: Path, modules: Sequence[Module]) -> None:
    """Bring a test database to head, with Django's own tables if it is installed."""
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
        """Yield the URL of a migrated database, and delete the database afterwards."""
        path = self._directory / f"{uuid4().hex}.db"
        create_private_file(str(path))
        shutil.copyfile(self._template, path)
        with _registered(f"sqlite:///{path}") as url:
            yield url
        for file in self._directory.glob(f"{path.name}*"):
            file.unlink()


# PostgreSQL can't clone a database that has connections, and those of the migration may
# close late.
_DISCONNECT_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = 'bedplate_template'"
)


class PostgresDatabases:
    """Clones of one migrated database on a temporary server."""

    def __init__(
        self, server_url: str, directory: Path, modules: Sequence[Module]
    ) -> None:
        self._server_url = server_url
        self._base = server_url.rpartition("/")[0]
        self._execute("CREATE DATABASE bedplate_template")
        migrate_url(f"{self._base}/bedplate_template", directory, modules)
        self._execute(_DISCONNECT_ALL)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Yield the URL of a migrated database, and delete the database afterwards."""
        name = f"test_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE bedplate_template")
        with _registered(f"{self._base}/{name}") as url:
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

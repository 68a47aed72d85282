"""Brings the schema to head, and tells whether it is there."""

import re
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError, coerce_resource_to_filename, to_tuple
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.core.errors import APIError, ServiceUnavailable
from bedplate.database import Database
from bedplate.database.base import Base
from bedplate.database.errors import translate
from bedplate.database.query import Statement
from bedplate.jobs.engine import engine_is_at_head, upgrade_engine

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String()))
_CURRENT = Statement(sa.select(_VERSION.c.version_num))


class SchemaError(Exception):
    """The schema is not what the code needs; the text says what to run."""


OURS = "bedplate:migrations/versions"


def alembic_config(folders: Sequence[str] = ()) -> Config:
    """Alembic on our revisions and those in these folders, each `package:folder`.

    Raises:
        SchemaError: a folder is not there; Alembic would pass over it in silence.
    """
    for folder in folders:
        if not coerce_resource_to_filename(folder).is_dir():
            raise SchemaError(f"the folder of migrations {folder!r} is not there")
    config = Config(cmd_opts=Namespace(quiet=True))
    config.set_main_option("script_location", "bedplate:migrations")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join([OURS, *folders]))
    return config


@cache
def _heads(folders: tuple[str, ...]) -> frozenset[str]:
    """What the version table holds when every migration was run."""
    script = ScriptDirectory.from_config(alembic_config(folders))
    # Alembic forgets a head that another branch's revision depends on: it is implied.
    implied = {
        dependency.revision
        for revision in script.walk_revisions()
        for dependency in script.get_revisions(revision.dependencies or ())
    }
    return frozenset(script.get_heads()) - implied


async def schema_is_at_head(database: Database, folders: Sequence[str] = ()) -> bool:
    """Whether every migration of ours and of these folders, and no other, was run.

    Raises:
        ServiceUnavailable: the database can't be asked.
    """
    try:
        current = await _current(database)
        engine_is_ready = await engine_is_at_head(database)
    except APIError:
        raise
    except Exception as error:
        if _has_no_version_table(error):
            return False
        raise
    return engine_is_ready and {*current} == _heads(tuple(folders))


def _has_no_version_table(error: Exception) -> bool:
    return re.search(r"alembic_version|dbos_migrations", str(error)) is not None


async def missing_migrations(
    database: Database, folders: Sequence[str] = ()
) -> list[str]:
    """The migrations that weren't run yet, in the order in which they would be.

    Raises:
        SchemaError: the database has one that this code doesn't know.
        ServiceUnavailable: the database can't be had.
    """
    script = ScriptDirectory.from_config(alembic_config(folders))
    try:
        done = _ancestors(script, await _current(database))
    except CommandError as error:
        raise SchemaError("the schema is newer than this code") from error
    revisions = reversed(list(script.walk_revisions()))
    return [f"{r.revision} ({r.doc})" for r in revisions if r.revision not in done]


async def _current(database: Database) -> tuple[str, ...]:
    try:
        return tuple(row[0] for row in await database.fetch(_CURRENT, {}))
    except APIError:
        raise
    except Exception as error:
        if _has_no_version_table(error):
            return ()
        raise


def _ancestors(script: ScriptDirectory, current: tuple[str, ...]) -> set[str]:
    """These revisions, and all that came before them or that they depend on."""
    found: set[str] = set()
    waiting = list(current)
    while waiting:
        for revision in script.get_revisions(waiting.pop()):
            if revision.revision not in found:
                found.add(revision.revision)
                waiting += to_tuple(revision.down_revision, default=())
                waiting += to_tuple(revision.dependencies, default=())
    return found


async def ensure_schema(database: Database, folders: Sequence[str] = ()) -> None:
    """Migrate SQLite; refuse PostgreSQL that is not at head.

    Raises:
        SchemaError: PostgreSQL's schema is not this code's.
        ServiceUnavailable: the database can't be had.
    """
    if await schema_is_at_head(database, folders):
        return
    if not database.is_sqlite:
        raise SchemaError("the schema is not at head: run `bedplate migrate` first")
    await upgrade(database, folders)


async def upgrade(database: Database, folders: Sequence[str] = ()) -> None:
    """Run the migrations that are missing: ours, those of the folders, the engine's.

    Ours come first, for theirs refer to our tables; both are one transaction.
    Two at once are safe: the second waits, and finds nothing to do.

    Raises:
        ServiceUnavailable: the database can't be had.
    """
    await _run(database, folders, _upgrade_branches)
    await upgrade_engine(database)


def _upgrade_branches(config: Config) -> None:
    command.upgrade(config, "bedplate@head")
    command.upgrade(config, "heads")


async def check(database: Database, folders: Sequence[str] = ()) -> None:
    """Compare the models with the schema.

    Raises:
        alembic.util.AutogenerateDiffsDetected: they differ.
    """
    await _run(database, folders, command.check)


class NothingChanged(SchemaError):
    """The models are what the migrations made."""


async def write_revision(
    database: Database, folders: Sequence[str], **options: Any
) -> None:
    """Write the revision from this schema to the models, as `alembic revision` does.

    Raises:
        NothingChanged
    """

    def refuse_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
        if directives[0].upgrade_ops.is_empty():
            raise NothingChanged("the models are what the migrations made already")

    def write(config: Config) -> None:
        config.set_main_option("file_template", _FILE_TEMPLATE)
        command.revision(
            config,
            autogenerate=True,
            process_revision_directives=refuse_empty,
            **options,
        )

    await _run(database, folders, write)


_FILE_TEMPLATE = "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s"


async def _run(
    database: Database, folders: Sequence[str], act: Any, *arguments: str
) -> None:
    config = alembic_config(folders)

    def run(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        act(config, *arguments)

    try:
        async with _migration_connection(database) as connection:
            await connection.run_sync(run)
    except Exception as error:
        if isinstance(translate(error, Base.metadata), ServiceUnavailable):
            raise ServiceUnavailable from error
        raise


@asynccontextmanager
async def _migration_connection(database: Database) -> AsyncIterator[AsyncConnection]:
    async with database.engine.connect() as connection:
        if not database.is_sqlite:
            async with connection.begin():
                yield connection
            return
        raw: Any = (await connection.get_raw_connection()).driver_connection
        # Changing a SQLite table means copying and dropping it, and with foreign keys
        # enforced the drop deletes what refers to it.
        await raw.execute("PRAGMA foreign_keys=OFF")
        try:
            async with connection.begin():
                yield connection
        finally:
            await raw.execute("PRAGMA foreign_keys=ON")

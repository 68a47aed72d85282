"""Migrate the schema to head or to another revision, and compare it with the code."""

from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationInfo
from alembic.script import Script, ScriptDirectory
from alembic.util import coerce_resource_to_filename, to_tuple
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.core.errors import APIError, ServiceUnavailable
from bedplate.database import Database
from bedplate.database.base import Base
from bedplate.database.driver_errors import translate
from bedplate.database.query import Statement
from bedplate.jobs.engine import engine_is_at_head, upgrade_engine

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String()))
_CURRENT = Statement(sa.select(_VERSION.c.version_num))


NOT_AT_HEAD = "the schema is not at head: run `bedplate migrate`"


class SchemaError(Exception):
    """The code can't run on the schema. The text names the command to run."""


class UnknownRevision(SchemaError):
    """The database has a revision that this code doesn't have."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the schema is at revision {revision!r}, which this code does not have. "
            "It was migrated by a newer version, or by a module that is not in your "
            "list. Start that version, or restore a backup from before the migration"
        )


class Step(NamedTuple):
    """A migration that was run or undone."""

    name: str
    is_upgrade: bool = True


CORE_MIGRATIONS = "bedplate:migrations/versions"


def alembic_config(folders: Sequence[str] = ()) -> Config:
    """Return Alembic's configuration for the built-in revisions and these folders.

    Each folder is written `package:folder`.

    Raises:
        SchemaError: a folder does not exist. Alembic itself would ignore it.
    """
    for folder in folders:
        if not coerce_resource_to_filename(folder).is_dir():
            raise SchemaError(f"the folder of migrations {folder!r} does not exist")
    config = Config(cmd_opts=Namespace(quiet=True))
    config.set_main_option("script_location", "bedplate:migrations")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join([CORE_MIGRATIONS, *folders]))
    return config


@cache
def _heads(folders: tuple[str, ...]) -> frozenset[str]:
    """Return the content of the version table when every migration was run."""
    script = ScriptDirectory.from_config(alembic_config(folders))
    # Alembic does not store a head that another branch's revision depends on.
    implied = {
        dependency.revision
        for revision in script.walk_revisions()
        for dependency in script.get_revisions(revision.dependencies or ())
    }
    return frozenset(script.get_heads()) - implied


async def schema_is_at_head(database: Database, folders: Sequence[str] = ()) -> bool:
    """Return whether exactly the built-in and these folders' migrations were run.

    Raises:
        ServiceUnavailable: the database is unavailable.
    """
    current = await _current(database)
    is_at_head = {*current} == _heads(tuple(folders))
    return is_at_head and await engine_is_at_head(database)


async def schema_problem(database: Database, folders: Sequence[str] = ()) -> str | None:
    """Return why this code can't run on the schema and what to do, or None if it can.

    Raises:
        ServiceUnavailable: the database is unavailable.
    """
    try:
        await missing_migrations(database, folders)
    except UnknownRevision as error:
        return str(error)
    return None if await schema_is_at_head(database, folders) else NOT_AT_HEAD


async def missing_migrations(
    database: Database, folders: Sequence[str] = ()
) -> list[str]:
    """Return the migrations that are still to run, in order.

    Raises:
        UnknownRevision: the database has one that this code doesn't have.
        ServiceUnavailable: the database is unavailable.
    """
    history = await read_history(database, folders)
    return [name for name, is_done in history.items() if not is_done]


async def read_history(
    database: Database, folders: Sequence[str] = ()
) -> dict[str, bool]:
    """Return every migration in order, and whether it was run.

    Raises:
        UnknownRevision: the database has one that this code doesn't have.
        ServiceUnavailable: the database is unavailable.
    """
    script = _script(folders)
    applied = _ancestors(script, await _checked_current(database, script))
    revisions = reversed(list(script.walk_revisions()))
    return {_name(r): r.revision in applied for r in revisions}


def _script(folders: Sequence[str]) -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config(folders))


def _name(revision: Script) -> str:
    return f"{revision.revision}: {revision.doc}"


async def _checked_current(
    database: Database, script: ScriptDirectory
) -> tuple[str, ...]:
    current = await _current(database)
    revisions = {revision.revision for revision in script.walk_revisions()}
    for revision in current:
        if revision not in revisions:
            raise UnknownRevision(revision)
    return current


async def _current(database: Database) -> tuple[str, ...]:
    try:
        return tuple(row[0] for row in await database.fetch(_CURRENT, {}))
    except APIError:
        raise
    except Exception as error:
        # The drivers have no common error for it, but all name the missing table.
        if "alembic_version" in str(error):
            return ()
        raise


def _ancestors(script: ScriptDirectory, current: tuple[str, ...]) -> set[str]:
    """Return these revisions, those before them and those that they depend on."""
    ancestors: set[str] = set()
    waiting = list(current)
    while waiting:
        for revision in script.get_revisions(waiting.pop()):
            if revision.revision not in ancestors:
                ancestors.add(revision.revision)
                waiting += to_tuple(revision.down_revision, default=())
                waiting += to_tuple(revision.dependencies, default=())
    return ancestors


async def ensure_schema(database: Database, folders: Sequence[str] = ()) -> None:
    """Migrate SQLite. Reject a PostgreSQL schema that is not at head.

    Raises:
        SchemaError: the schema is on PostgreSQL and not at head.
        UnknownRevision: the database has one that this code doesn't have.
        ServiceUnavailable: the database is unavailable.
    """
    if await schema_is_at_head(database, folders):
        return
    await _checked_current(database, _script(folders))
    if not database.is_sqlite:
        raise SchemaError(f"{NOT_AT_HEAD} first")
    await upgrade(database, folders)


async def upgrade(database: Database, folders: Sequence[str] = ()) -> list[Step]:
    """Run the missing migrations and return them: built-in, folders', job engine's.

    The built-in ones come first, because the others refer to their tables; both run in
    one transaction. Two processes can upgrade at the same time: the second one waits
    and then has nothing to do.

    Raises:
        UnknownRevision: the database has one that this code doesn't have.
        ServiceUnavailable: the database is unavailable.
    """
    await _checked_current(database, _script(folders))
    steps = await _run(database, folders, _upgrade_branches)
    if await upgrade_engine(database):
        steps.append(Step("the job engine's migrations"))
    return steps


def _upgrade_branches(config: Config) -> None:
    command.upgrade(config, "bedplate@head")
    command.upgrade(config, "heads")


async def steps_down(
    database: Database, folders: Sequence[str], revision: str
) -> list[str]:
    """Return the migrations that going to a revision undoes, in that order.

    The list is empty if the revision was not run yet: going there is an upgrade.

    Raises:
        SchemaError: the revision does not exist.
        UnknownRevision: the database has one that this code doesn't have.
    """
    script = _script(folders)
    if revision not in {each.revision for each in script.walk_revisions()}:
        advice = "run `bedplate migrate --history` for a list"
        raise SchemaError(f"the revision {revision!r} does not exist: {advice}")
    current = await _checked_current(database, script)
    if revision not in _ancestors(script, current):
        return []
    # Private, but `alembic downgrade` uses it, and no public function includes the
    # dependencies of other branches.
    steps: Any = script._downgrade_revs(revision, current)  # type: ignore[arg-type]  # noqa: SLF001, it accepts several
    return [_name(step.revision) for step in steps]


async def migrate_to(
    database: Database, folders: Sequence[str], revision: str
) -> list[Step]:
    """Go up or down to a revision in one transaction, and return the steps.

    Raises:
        SchemaError: the revision does not exist.
        UnknownRevision: the database has one that this code doesn't have.
        ServiceUnavailable: the database is unavailable.
    """
    undone = await steps_down(database, folders, revision)
    migrate = command.downgrade if undone else command.upgrade
    return await _run(database, folders, migrate, revision)


async def check(database: Database, folders: Sequence[str] = ()) -> None:
    """Compare the models with the schema.

    Raises:
        alembic.util.AutogenerateDiffsDetected: they differ.
    """
    await _run(database, folders, command.check)


class NothingChanged(SchemaError):
    """The models and the schema are equal, so there is nothing to write."""


async def write_revision(
    database: Database, folders: Sequence[str], **options: Any
) -> None:
    """Write a revision that changes this schema to the models, as Alembic does.

    Raises:
        NothingChanged
    """

    def refuse_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
        if directives[0].upgrade_ops.is_empty():
            raise NothingChanged("the schema already matches the models")

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
    database: Database, folders: Sequence[str], migrate: Any, *arguments: str
) -> list[Step]:
    config = alembic_config(folders)
    steps: list[Step] = []

    def record(*, step: MigrationInfo, **_: Any) -> None:
        revision: Any = step.up_revision
        steps.append(Step(_name(revision), step.is_upgrade))

    config.attributes["on_version_apply"] = record

    def run(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        migrate(config, *arguments)

    try:
        async with _migration_connection(database) as connection:
            await connection.run_sync(run)
    except Exception as error:
        if isinstance(translate(error, Base.metadata), ServiceUnavailable):
            raise ServiceUnavailable from error
        raise
    return steps


@asynccontextmanager
async def _migration_connection(database: Database) -> AsyncIterator[AsyncConnection]:
    if not database.is_sqlite:
        async with (
            database.engine_for_migrations() as engine,
            engine.begin() as connection,
        ):
            yield connection
        return
    async with database.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        # SQLite changes a table by copying and dropping it, and with foreign keys
        # enforced the drop deletes the rows that refer to it.
        await raw.execute("PRAGMA foreign_keys=OFF")
        try:
            async with connection.begin():
                yield connection
        finally:
            await raw.execute("PRAGMA foreign_keys=ON")

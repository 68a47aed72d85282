"""Bring the schema to head or to another revision, and check where it is."""

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
    """The schema is not what the code needs; the text says what to run."""


class UnknownRevision(SchemaError):
    """The database was migrated by code that is not this code."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the schema is at revision {revision!r}, which this code does not know: a "
            "newer version made it, or a module that is not listed here. Start that "
            "version, or restore a backup that is older than it"
        )


class Step(NamedTuple):
    """A migration that was run or undone."""

    name: str
    is_upgrade: bool = True


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
    current = await _current(database)
    is_ours = {*current} == _heads(tuple(folders))
    return is_ours and await engine_is_at_head(database)


async def schema_problem(database: Database, folders: Sequence[str] = ()) -> str | None:
    """Return why this code can't run on the schema, and what to do; None if it can.

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
    """Return the migrations that are still to run, in their order.

    Raises:
        UnknownRevision: the database has one that this code doesn't know.
        ServiceUnavailable: the database is unavailable.
    """
    history = await read_history(database, folders)
    return [name for name, is_done in history.items() if not is_done]


async def read_history(
    database: Database, folders: Sequence[str] = ()
) -> dict[str, bool]:
    """Return every migration in its order, and whether it was run.

    Raises:
        UnknownRevision: the database has one that this code doesn't know.
        ServiceUnavailable: the database is unavailable.
    """
    script = _script(folders)
    done = _ancestors(script, await _known_current(database, script))
    revisions = reversed(list(script.walk_revisions()))
    return {_name(r): r.revision in done for r in revisions}


def _script(folders: Sequence[str]) -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config(folders))


def _name(revision: Script) -> str:
    return f"{revision.revision}: {revision.doc}"


async def _known_current(
    database: Database, script: ScriptDirectory
) -> tuple[str, ...]:
    current = await _current(database)
    known = {revision.revision for revision in script.walk_revisions()}
    for revision in current:
        if revision not in known:
            raise UnknownRevision(revision)
    return current


async def _current(database: Database) -> tuple[str, ...]:
    try:
        return tuple(row[0] for row in await database.fetch(_CURRENT, {}))
    except APIError:
        raise
    except Exception as error:
        if "alembic_version" in str(error):
            return ()  # no table yet
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
        UnknownRevision: the database was migrated by other code.
        ServiceUnavailable: the database is unavailable.
    """
    if await schema_is_at_head(database, folders):
        return
    await _known_current(database, _script(folders))
    if not database.is_sqlite:
        raise SchemaError(f"{NOT_AT_HEAD} first")
    await upgrade(database, folders)


async def upgrade(database: Database, folders: Sequence[str] = ()) -> list[Step]:
    """Run the migrations that are missing: ours, those of the folders, the engine's.

    Ours come first, for theirs refer to our tables; both are one transaction.
    Two at once are safe: the second waits, and finds nothing to do. Return what was
    run.

    Raises:
        UnknownRevision: the database was migrated by other code.
        ServiceUnavailable: the database is unavailable.
    """
    await _known_current(database, _script(folders))
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

    None of them where the revision was not run yet, for then it is an upgrade.

    Raises:
        SchemaError: there is no such revision.
        UnknownRevision: the database was migrated by other code.
    """
    script = _script(folders)
    if revision not in {known.revision for known in script.walk_revisions()}:
        advice = "`bedplate migrate --history` lists all of them"
        raise SchemaError(f"there is no revision {revision!r}: {advice}")
    current = await _known_current(database, script)
    if revision not in _ancestors(script, current):
        return []
    # Not public, but what Alembic's own `downgrade` asks, dependencies included.
    steps: Any = script._downgrade_revs(revision, current)  # type: ignore[arg-type]  # noqa: SLF001, it takes several, too
    return [_name(step.revision) for step in steps]


async def migrate_to(
    database: Database, folders: Sequence[str], revision: str
) -> list[Step]:
    """Go up or down to a revision, in one transaction; return what was run or undone.

    Raises:
        SchemaError: there is no such revision.
        UnknownRevision: the database was migrated by other code.
        ServiceUnavailable: the database is unavailable.
    """
    undone = await steps_down(database, folders, revision)
    act = command.downgrade if undone else command.upgrade
    return await _run(database, folders, act, revision)


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
) -> list[Step]:
    config = alembic_config(folders)
    steps: list[Step] = []

    def record(*, step: MigrationInfo, **_: Any) -> None:
        revision: Any = step.up_revision
        steps.append(Step(_name(revision), step.is_upgrade))

    config.attributes["on_version_apply"] = record

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
        # Changing a SQLite table means copying and dropping it, and with foreign keys
        # enforced the drop deletes what refers to it.
        await raw.execute("PRAGMA foreign_keys=OFF")
        try:
            async with connection.begin():
                yield connection
        finally:
            await raw.execute("PRAGMA foreign_keys=ON")

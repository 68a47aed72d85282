"""Writes a new migration in a project's branch, from its models."""

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from alembic.util import coerce_resource_to_filename

from bedplate import migrate
from bedplate.config import Settings
from bedplate.module import Module, migrations_of
from bedplate.runtime import make_database
from bedplate.scaffold.existing import ExistingProject
from bedplate.scaffold.format import format_files


def add_migration(
    project: ExistingProject, modules: Sequence[Module], message: str
) -> Path:
    """Write a migration and return its path.

    It holds the difference between the models and a new database with all migrations.

    Raises:
        NothingChanged
        ScaffoldError: the branch has several heads.
    """
    revision = project.next_revision(modules, "")
    own_folder = project.migrations(modules)
    folders = list(dict.fromkeys([*migrations_of(modules), own_folder]))
    here = coerce_resource_to_filename(own_folder)
    before = set(here.iterdir())
    asyncio.run(
        _write(
            folders,
            message=message,
            rev_id=revision.id,
            head=revision.down or "base",
            branch_label=None if revision.down else project.package,
            version_path=str(here.resolve()),
        )
    )
    written = min(set(here.iterdir()) - before)
    if find_spec("ruff") is not None:
        format_files(project.folder, str(written.resolve()))
    return written


async def _write(folders: Sequence[str], **options: str | None) -> None:
    # A new SQLite file: the project's own database may lack migrations, or have
    # changes that no migration made.
    with tempfile.TemporaryDirectory(prefix="bedplate-") as name:
        settings = Settings.load(
            _env_file=None,
            data_dir=Path(name),
            database_url=f"sqlite:///{name}/new.db",
            secret_key=secrets.token_hex(),
        )
        database = make_database(settings)
        try:
            await migrate.upgrade(database, folders)
            await migrate.write_revision(database, folders, **options)
        finally:
            await database.close()

"""A project's revisions run with Bedplate's and never conflict with a newer release."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic import command

from bedplate import migrate
from bedplate.config import Settings
from bedplate.database import Database
from bedplate.example import BUILT_IN
from bedplate.migrate import SchemaError
from bedplate.module import migrations_of
from bedplate.runtime import make_database

MODULE_FOLDERS = migrations_of(BUILT_IN)
REVISION = '''"""{message}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {depends_on!r}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    pass
'''
CREATE_INVOICES = (
    'op.create_table("planted_invoices", sa.Column("id", sa.Uuid(), primary_key=True),'
    ' sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id")))'
)
ADD_COLUMN = 'op.add_column("{table}", sa.Column("planted", sa.String(10)))'


def write_revision(
    folder: Path,
    revision: str,
    down: str | None,
    upgrade: str,
    *,
    labels: tuple[str, ...] | None = None,
    depends_on: str | None = None,
) -> None:
    (folder / f"{revision}.py").write_text(
        REVISION.format(
            message=revision.capitalize(),
            revision=revision,
            down=down,
            labels=labels,
            depends_on=depends_on,
            upgrade=upgrade,
        )
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the migrations folder of a project that was created with this version."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_revision(folder, "shop_0001", None, CREATE_INVOICES, labels=("shop",))
    return folder


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = make_database(settings)
    yield database
    await database.close()


def install_newer_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a newer Bedplate with one more revision."""
    versions = tmp_path / "newer"
    shutil.copytree(Path(migrate.__file__).parent / "migrations" / "versions", versions)
    head = min(migrate._heads(()))
    write_revision(versions, "9999", head, ADD_COLUMN.format(table="users"))
    monkeypatch.setattr(migrate, "CORE_MIGRATIONS", str(versions))
    migrate._heads.cache_clear()


@pytest.fixture(autouse=True)
def clear_heads_cache() -> None:
    migrate._heads.cache_clear()


async def columns(database: Database, table: str) -> set[str]:
    async with database.engine.connect() as connection:
        items = await connection.run_sync(lambda c: sa.inspect(c).get_columns(table))
    return {column["name"] for column in items}


async def test_a_projects_revisions_run_after_the_built_in_ones(
    database: Database, project: Path
) -> None:
    folders = [*MODULE_FOLDERS, str(project)]
    assert not await migrate.schema_is_at_head(database, folders)

    await migrate.upgrade(database, folders)

    assert await migrate.schema_is_at_head(database, folders)
    assert "owner_id" in await columns(database, "planted_invoices")
    # Without the project, that revision is unknown: the wrong code would be running.
    assert not await migrate.schema_is_at_head(database, MODULE_FOLDERS)


@pytest.mark.parametrize("depends_on", ["nothing", "first", "head"])
async def test_an_old_project_gets_a_newer_core(
    database: Database,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    depends_on: str,
) -> None:
    folders = [*MODULE_FOLDERS, str(project)]
    revisions = {"first": "0001", "head": min(migrate._heads(()))}
    write_revision(
        project,
        "shop_0002",
        "shop_0001",
        ADD_COLUMN.format(table="planted_invoices"),
        depends_on=revisions.get(depends_on),
    )
    await migrate.upgrade(database, folders)
    assert await migrate.schema_is_at_head(database, folders)

    install_newer_core(tmp_path, monkeypatch)
    assert not await migrate.schema_is_at_head(database, folders)
    await migrate.upgrade(database, folders)

    assert await migrate.schema_is_at_head(database, folders)
    assert "planted" in await columns(database, "users")
    assert "planted" in await columns(database, "planted_invoices")


async def test_a_new_database_runs_an_old_project_on_a_newer_core(
    settings: Settings,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_newer_core(tmp_path, monkeypatch)
    database = make_database(settings)
    await migrate._run(database, MODULE_FOLDERS, command.downgrade, "base")

    await migrate.upgrade(database, [*MODULE_FOLDERS, str(project)])

    assert await migrate.schema_is_at_head(database, [*MODULE_FOLDERS, str(project)])
    await database.close()


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(SchemaError, match="bedplate:nowhere"):
        migrate.alembic_config(["bedplate:nowhere"])

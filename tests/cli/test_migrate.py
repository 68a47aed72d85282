"""`bedplate migrate`: running, listing, undoing and refusing migrations."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bedplate.config import Settings
from bedplate.runtime import make_database
from bedplate.testing.servers import run_command

HEAD = "The schema is at head.\n"


def execute(settings: Settings, statement: str) -> list[Any]:
    async def work() -> list[Any]:
        database = make_database(settings)
        async with database.engine.begin() as connection:
            done = await connection.exec_driver_sql(statement)
            rows = list(done) if done.returns_rows else []
        await database.close()
        return rows

    return asyncio.run(work())


def url_of(settings: Settings) -> str:
    return settings.resolved_database_url.render_as_string(hide_password=False)


@pytest.fixture
def migrate(bedplate: Any, settings: Settings) -> Any:
    """Run `bedplate migrate …` on this test's database, which is at head."""
    return lambda *arguments, **options: bedplate(
        "migrate", *arguments, database_url=url_of(settings), **options
    )


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("migrate", "--check"),
        ("migrate", "--to", "0001", "--yes"),
        ("serve", "--port", "0"),
        ("worker",),
        ("users", "list"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_an_unknown_revision_in_the_database_is_one_line_that_names_it(
    bedplate: Any, settings: Settings, command: tuple[str, ...]
) -> None:
    execute(
        settings,
        "UPDATE alembic_version SET version_num = '9876' "
        "WHERE version_num NOT LIKE 'posts%%'",
    )

    done = bedplate(*command, database_url=url_of(settings))

    assert done.code == 1
    output = done.out if command == ("doctor",) else done.err
    (line,) = [line for line in output.splitlines() if "9876" in line]
    assert "a newer version" in line
    assert "run `bedplate migrate`" not in output
    assert command == ("doctor",) or done.err.splitlines() == [line]


def test_it_reports_each_migration_that_it_ran(tmp_path: Path) -> None:
    # In new processes: Django can be set up only once in a process, and in this one
    # it is set up for another database.
    first = run_command(tmp_path, "migrate")
    again = run_command(tmp_path, "migrate")

    lines = first.stdout.splitlines()
    assert lines[0] == "Ran 0001: Create users and sessions."
    assert "Ran posts_0001: Create posts." in lines
    assert any(line.startswith("Ran contenttypes.0001_initial") for line in lines)
    assert any(line.startswith("Ran the job engine's migrations") for line in lines)
    assert first.stdout.endswith(HEAD)
    assert again.stdout == HEAD


def test_the_history_shows_which_migrations_were_run(migrate: Any) -> None:
    migrate("--to", "0001", "--yes")

    done = migrate("--history")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0] == "done     0001: Create users and sessions."
    assert lines[1].startswith("pending  0002: ")
    assert "pending  posts_0001: Create posts." in lines


def test_it_goes_down_to_a_revision_and_up_again(
    migrate: Any, settings: Settings
) -> None:
    down = migrate("--to", "0004", "--yes")
    versions = {row[0] for row in execute(settings, "SELECT * FROM alembic_version")}
    check = migrate("--check")
    up = migrate()

    assert down.code == 0, down.err
    assert "Undid 0005: " in down.out
    assert "The schema is at 0004." in down.out
    assert {"0004", "0005"} & versions <= {"0004"}
    assert check.code == 1
    assert "Ran 0005: " in up.out
    assert migrate("--check").code == 0


def test_it_goes_up_to_a_revision(migrate: Any) -> None:
    migrate("--to", "0001", "--yes")

    up = migrate("--to", "0003")

    assert up.code == 0, up.err
    assert "Ran 0003: " in up.out
    assert "0004" not in up.out
    assert "pending  0004" in migrate("--history").out


def test_without_a_terminal_nothing_is_undone_unless_yes_is_given(
    migrate: Any, settings: Settings
) -> None:
    execute(settings, "SELECT id FROM users")
    done = migrate("--to", "0001")

    assert done.code == 1
    assert "--yes" in done.err
    assert "posts_0001" in done.out  # the plan
    assert migrate("--check").code == 0


@pytest.mark.parametrize("revision", ["9876", "", "0001; DROP TABLE users", "-1"])
def test_a_missing_revision_is_named(migrate: Any, revision: str) -> None:
    done = migrate("--to", revision, "--yes")

    assert done.code == 1
    assert f"the revision {revision!r} does not exist" in done.err
    assert "bedplate migrate --history" in done.err
    assert migrate("--check").code == 0


@pytest.mark.parametrize(
    "options", [("--check", "--history"), ("--check", "--to", "0001")]
)
def test_options_that_exclude_each_other_are_refused(
    migrate: Any, options: tuple[str, ...]
) -> None:
    done = migrate(*options)

    assert done.code == 2
    assert "one of --check, --history and --to" in done.err

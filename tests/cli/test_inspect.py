"""`bedplate migrate`, `routes`, `openapi` and `doctor`."""

import asyncio
import json
from typing import Any

import pytest

from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import create_app
from bedplate.runtime import make_database

MARKER = "marker-secret"
SECRET_KEY = f"{MARKER}-that-is-32-bytes-long-and-more"
DOWN = f"postgresql://bedplate:{MARKER}@127.0.0.1:1/app?password={MARKER}"


def execute(settings: Settings, statement: str) -> None:
    async def work() -> None:
        database = make_database(settings)
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql(statement)
        await database.close()

    asyncio.run(work())


@pytest.fixture
def behind(settings: Settings) -> Settings:
    """Return the settings of a database in which migrations are missing."""
    execute(
        settings,
        "UPDATE alembic_version SET version_num = '0001' "
        "WHERE version_num NOT LIKE 'posts%%'",
    )
    return settings


def url_of(settings: Settings) -> str:
    return settings.resolved_database_url.render_as_string(hide_password=False)


def test_migrate_brings_an_empty_folder_to_head(bedplate: Any) -> None:
    before = bedplate("migrate", "--check")
    done = bedplate("migrate")
    again = bedplate("migrate")
    after = bedplate("migrate", "--check")

    assert before.code == 1
    assert "run `bedplate migrate`" in before.err
    assert done.out.endswith("The schema is at head.\n")
    assert {d.out for d in (again, after)} == {"The schema is at head.\n"}
    assert [d.code for d in (done, again, after)] == [0, 0, 0]


def test_migrate_check_fails_on_a_schema_that_is_not_at_head(
    bedplate: Any, behind: Settings
) -> None:
    done = bedplate("migrate", "--check", database_url=url_of(behind))

    assert (done.code, done.out) == (1, "")
    assert done.err == "bedplate: the schema is not at head: run `bedplate migrate`\n"


def test_routes_lists_every_operation_and_its_callers(bedplate: Any) -> None:
    done = bedplate("routes")
    rows = [line.split(maxsplit=2) for line in done.out.splitlines()[1:]]

    document = create_app(Settings.load(), BUILT_IN).openapi()
    operations = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert done.code == 0
    assert {(method, path) for method, path, _ in rows} == operations
    output = " ".join(done.out.split())
    assert "POST /api/v1/auth/token anyone" in output
    assert "GET /api/v1/users admin" in output
    assert "POST /api/v1/users/{user_id}/deactivate admin" in output
    assert "GET /api/v1/users/{user_id} signed in" in output
    assert "POST /api/v1/users anyone" in output


def test_openapi_is_the_document_that_is_served(bedplate: Any) -> None:
    done = bedplate("openapi")

    assert done.code == 0
    assert json.loads(done.out) == create_app(Settings.load(), BUILT_IN).openapi()


def test_the_doctor_finds_nothing_wrong(bedplate: Any, settings: Settings) -> None:
    done = bedplate("doctor", database_url=url_of(settings), secret_key=SECRET_KEY)

    assert done.code == 0, done.out
    assert "the schema is at head" in done.out
    assert "FAIL " not in done.out


def test_the_doctor_recommends_the_modern_policy_in_production(
    bedplate: Any, settings: Settings
) -> None:
    def doctor(**options: str) -> Any:
        url = url_of(settings)
        return bedplate("doctor", database_url=url, secret_key=SECRET_KEY, **options)

    advised = doctor(environment="production")
    assert advised.code == 0
    assert "hint BEDPLATE_PASSWORD_POLICY is reference" in advised.out
    for quiet in (
        doctor(environment="production", password_policy="modern"),
        doctor(environment="development", password_policy="reference"),
    ):
        assert "hint" not in quiet.out


def test_the_doctor_shows_every_setting(bedplate: Any) -> None:
    bedplate("migrate")

    output = bedplate("doctor").out

    for name in Settings.model_fields:
        assert f"BEDPLATE_{name.upper()} " in output


def test_the_doctor_never_shows_a_secret(bedplate: Any) -> None:
    done = bedplate(
        "doctor",
        database_url=DOWN,
        secret_key=SECRET_KEY,
        previous_secret_keys=f"{SECRET_KEY}-1,{SECRET_KEY}-2",
        mail_url=f"smtp://user:{MARKER}@mail.example.com:587",
    )

    assert MARKER not in done.out + done.err
    assert "postgresql://bedplate:***@127.0.0.1:1/app" in done.out


def test_the_doctor_fails_on_a_database_that_is_down(bedplate: Any) -> None:
    done = bedplate("doctor", database_url=DOWN, secret_key=SECRET_KEY)

    assert done.code == 1
    assert "FAIL " in done.out
    assert "the database:" in done.out
    assert "Traceback" not in done.err


def test_the_doctor_fails_on_a_schema_that_is_not_at_head(
    bedplate: Any, behind: Settings
) -> None:
    done = bedplate("doctor", database_url=url_of(behind))

    assert done.code == 1
    assert "run `bedplate migrate`" in done.out


def test_the_doctor_names_a_misspelled_setting(bedplate: Any) -> None:
    done = bedplate("doctor", secret_keyy=MARKER)

    assert done.code == 1
    assert "BEDPLATE_SECRET_KEYY is not a setting" in done.err
    assert "BEDPLATE_SECRET_KEY?" in done.err
    assert MARKER not in done.out + done.err

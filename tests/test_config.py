"""Settings come from the environment and `.env`; each error names its variable."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import AliasChoices, Field

from bedplate.config import PREFIX, Settings, SettingsError

MARKER = "marker-secret"
KEY = "a key for tests, at least 32 bytes long"

# At least one wrong value for every setting that can have one.
WRONG = {
    "app": [MARKER, f"{MARKER}:", f"a-b:{MARKER}"],
    "environment": [MARKER],
    "database_url": [
        MARKER,
        f"mysql://me:{MARKER}@host/app",
        "sqlite://",
        "sqlite:///:memory:",
        f"postgresql://me:{MARKER}@host:port/app",
    ],
    "secret_key": [MARKER, "é" * 15, MARKER * 4],
    "previous_secret_keys": [MARKER, MARKER * 4, f"{KEY},{MARKER}"],
    "public_url": [MARKER, f"ftp://{MARKER}", f"https://host?{MARKER}"],
    "mail_url": [
        MARKER,
        f"smtps://me:{MARKER}@host",
        f"smtp://me:{MARKER}@host:port",
        f"smtp://me:{MARKER}@host?tls={MARKER}",
        f"smtp://:{MARKER}@",
        "file://",
    ],
    "mail_from": [MARKER],
    "mail_language": [MARKER, "../en"],
    "mail_timeout": [MARKER, "0", "301"],
    "embedded_worker": [MARKER],
    "worker_concurrency": [MARKER, "0", "1001"],
    "worker_stop_seconds": [MARKER, "0", "3601"],
    "job_retention_days": [MARKER, "0", "3651"],
    "signup": [MARKER],
    "require_verified_email": [MARKER],
    "roles": [f"user, admin, {MARKER.upper()}", "user", f"admin, {MARKER}"],
    "role_permissions": [MARKER, f'["{MARKER}"]', f'{{"{MARKER}": []}}'],
    "access_token_minutes": [MARKER, "0", "1441"],
    "refresh_idle_days": [MARKER, "0", "3651"],
    "max_sessions_per_user": [MARKER, "0", "10001"],
    "session_days": [MARKER, "0", "3651"],
    "refresh_grace_seconds": [MARKER, "-1", "301"],
    "reset_minutes": [MARKER, "0", "1441"],
    "verify_hours": [MARKER, "0", "721"],
    "password_policy": [MARKER],
    "breached_passwords_url": [MARKER, f"ftp://{MARKER}", f"https://host?{MARKER}"],
    "jwt_algorithm": [MARKER, "none", "RS256"],
    "rate_limits_enabled": [MARKER],
    "redis_url": [MARKER, f"http://:{MARKER}@host"],
    "limit_failed_sign_ins_per_account": [MARKER, "0", "5 per fortnight"],
    "limit_failed_sign_ins_per_address": [MARKER],
    "limit_sign_ups_per_address": [MARKER],
    "limit_mails_per_account": [MARKER],
    "limit_mails_per_address": [MARKER],
    "limit_refreshes_per_session": [MARKER],
    "audit_days": [MARKER, "0"],
    "verify_url": [MARKER],
    "reset_url": [MARKER],
    "change_email_url": [MARKER],
    "max_body_bytes": [MARKER, "1023"],
    "max_header_bytes": [MARKER, "4095", "1048577"],
    "max_header_count": [MARKER, "19", "10001"],
    "header_timeout": [MARKER, "0", "601", "nan"],
    "body_timeout": [MARKER, "0", "601", "nan"],
    "request_timeout": [MARKER, "0", "86401", "nan"],
    "keep_alive_timeout": [MARKER, "0", "3601"],
    "max_connections": [MARKER, "0"],
    "pool_size": [MARKER, "0", "1001"],
    "pool_timeout": [MARKER, "0", "-1", "nan"],
    "database_connect_timeout": [MARKER, "0", "301"],
    "database_statement_timeout": [MARKER, "0", "-1", "nan"],
    "database_idle_transaction_timeout": [MARKER, "0", "3601"],
    "transaction_pooler": [MARKER],
    "trusted_proxies": [MARKER, f"10.0.0.0/8, {MARKER}", "10.0.0.1/8"],
    "allowed_hosts": [f"http://{MARKER}", f"localhost, {MARKER}/"],
    "admin_session_hours": [MARKER, "0", "721"],
    "admin_idle_minutes": [MARKER, "1", "1441"],
    "log_level": [MARKER],
    "docs": [MARKER],
    "metrics_port": [MARKER, "0", "65536"],
    "metrics_token": ["x" * 15, f"{MARKER} {MARKER}", f"{MARKER}{MARKER}é"],
    "compiled_routes": [MARKER],
}
FREE_TEXT = {"cors_origins", "data_dir", "mail_templates", "token_issuer"}
SECRETS = {"secret_key", "previous_secret_keys", "metrics_token"}  # and all URLs

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty directory, with an environment without Bedplate's settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    def set_(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)

    return set_


def load_error() -> str:
    with pytest.raises(SettingsError) as error:
        Settings.load()
    return str(error.value)


def test_every_setting_has_a_wrong_value_here() -> None:
    assert WRONG.keys() | FREE_TEXT == Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]]
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_no_secret(
    environment: Environment, name: str, value: str
) -> None:
    environment(**{name: value})

    line = load_error()

    assert line.startswith(f"{PREFIX}{name.upper()}: ")
    assert line.endswith((".", "openssl rand -hex 32"))
    assert "\n" not in line
    assert "pydantic" not in line
    assert "Input should" not in line
    if name in SECRETS or name.endswith("_url"):
        assert MARKER not in line.lower()
    else:
        assert re.match(r"\w+: ['\[{\d]", line), line


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "pool_size",
            "ten",
            "'ten' is not a whole number. Use a number from 1 to 1000.",
        ),
        ("pool_size", "0", "'0' is out of range. Use a number from 1 to 1000."),
        (
            "mail_timeout",
            "0",
            "'0' is out of range. Use a number above 0, at most 300.",
        ),
        (
            "mail_timeout",
            "nan",
            "'nan' is out of range. Use a number above 0, at most 300.",
        ),
        ("max_connections", "0", "'0' is out of range. Use a number from 1 up."),
        ("signup", "maybe", "'maybe' is not allowed. Use 'open' or 'closed'."),
        ("docs", "perhaps", "'perhaps' is not a boolean. Use true or false."),
        (
            "trusted_proxies",
            "10.0.0.0/8,ten",
            "'ten' is not a network. Use CIDR notation, such as 10.0.0.0/8.",
        ),
        ("app", "x" * 90, f"'{'x' * 59}…' is not an import path. Use shop.main:app."),
        (
            "public_url",
            f"https://me:{MARKER}@host?a",
            (
                "the value is not an http or https URL. "
                "Use https://app.example.com/path, without a query or fragment."
            ),
        ),
    ],
)
def test_a_wrong_value_is_explained(
    environment: Environment, name: str, value: str, line: str
) -> None:
    environment(**{name: value})

    assert load_error() == f"{PREFIX}{name.upper()}: {line}"


def test_a_secret_of_an_application_that_is_a_plain_string_is_not_shown(
    environment: Environment,
) -> None:
    class ShopSettings(Settings):
        payment_key: str = Field("", pattern="^pk_")

    environment(payment_key=MARKER)

    with pytest.raises(SettingsError, match="BEDPLATE_PAYMENT_KEY: the value") as error:
        ShopSettings.load()

    assert MARKER not in str(error.value)


def test_a_wrong_value_is_not_in_the_traceback_either(
    environment: Environment,
) -> None:
    environment(secret_key=MARKER)

    with pytest.raises(SettingsError) as error:
        Settings.load()

    assert error.value.__suppress_context__


def test_nothing_needs_to_be_set(folder: Path) -> None:
    settings = Settings.load()

    assert settings.environment == "development"
    assert settings.resolved_database_url.database == str(
        folder / ".bedplate" / "bedplate.db"
    )


def test_an_empty_variable_counts_as_unset(environment: Environment) -> None:
    environment(database_url="", secret_key="", roles="")

    assert Settings.load() == Settings.load(_env_file=None)


def test_dotenv_is_read_and_the_environment_wins(
    folder: Path, environment: Environment
) -> None:
    lines = ["BEDPLATE_SESSION_DAYS=7", "BEDPLATE_POOL_SIZE=3", "OTHERS=1"]
    (folder / ".env").write_text("\n".join(lines))
    environment(pool_size="4")

    settings = Settings.load()

    assert (settings.session_days, settings.pool_size) == (7, 4)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("BEDPLATE_SIGNUPS", "Did you mean BEDPLATE_SIGNUP?"),
        ("bedplate_data_bas_url", "Did you mean BEDPLATE_DATABASE_URL?"),
        ("BEDPLATE_XYZ", "Remove it."),
    ],
)
def test_an_unknown_variable_is_rejected_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, MARKER)

    line = load_error()

    assert line.startswith(f"{name.upper()} is not a setting. ")
    assert nearest in line
    assert MARKER not in line


def test_an_unknown_variable_in_dotenv_is_rejected(folder: Path) -> None:
    (folder / ".env").write_text("BEDPLATE_SIGNUPS=closed")

    assert "Did you mean BEDPLATE_SIGNUP?" in load_error()


def test_the_old_name_of_a_renamed_setting_is_accepted(
    environment: Environment,
) -> None:
    class Renamed(Settings):
        color: str = Field("", validation_alias=AliasChoices("color", "bedplate_hue"))

    environment(hue="red")

    assert Renamed.load().color == "red"


def test_variables_that_kubernetes_sets_for_a_service_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "BEDPLATE_SERVICE_HOST": "10.0.0.11",
        "BEDPLATE_SERVICE_PORT": "8000",
        "BEDPLATE_SERVICE_PORT_HTTP": "8000",
        "BEDPLATE_PORT": "tcp://10.0.0.11:8000",
        "BEDPLATE_PORT_8000_TCP": "tcp://10.0.0.11:8000",
        "BEDPLATE_PORT_8000_TCP_ADDR": "10.0.0.11",
        "BEDPLATE_WORKER_SERVICE_HOST": "10.0.0.12",
    }.items():
        monkeypatch.setenv(name, value)

    Settings.load()


def test_lists_are_comma_separated(environment: Environment) -> None:
    environment(
        roles="user, admin,editor",
        trusted_proxies="10.0.0.0/8,::1/128",
        cors_origins="https://a.example , https://b.example",
    )

    settings = Settings.load()

    assert settings.roles == ("user", "admin", "editor")
    assert [str(network) for network in settings.trusted_proxies] == [
        "10.0.0.0/8",
        "::1/128",
    ]
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("path_url", "resolved"),
    [
        ("sqlite:///app.db", "{folder}/app.db"),
        ("sqlite:///data/../app.db", "{folder}/data/../app.db"),
        ("sqlite:////var/lib/app.db", "/var/lib/app.db"),
    ],
)
def test_a_relative_sqlite_path_starts_at_the_working_directory(
    folder: Path, environment: Environment, path_url: str, resolved: str
) -> None:
    environment(database_url=path_url)

    url = Settings.load().resolved_database_url

    assert url.drivername == "sqlite"
    assert url.database == resolved.format(folder=folder)


@pytest.mark.parametrize("driver", ["", "+asyncpg", "+psycopg"])
def test_the_driver_in_a_database_url_is_ignored(
    environment: Environment, driver: str
) -> None:
    environment(database_url=f"postgresql{driver}://me:{MARKER}@host/app")

    settings = Settings.load()

    assert settings.resolved_database_url.drivername == "postgresql"
    assert settings.resolved_database_url.password == MARKER


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{MARKER}@host/app",
        f"postgresql://me@host/app?password={MARKER}&application_name=mine",
    ],
)
def test_the_repr_of_settings_holds_no_secret(
    environment: Environment, url: str
) -> None:
    mail_url = f"smtp://me:{MARKER}@host"
    environment(database_url=url, secret_key=MARKER + KEY, mail_url=mail_url)

    settings = Settings.load()

    assert MARKER not in repr(settings) + str(settings) + settings.shown_database_url
    assert settings.shown_database_url.startswith("postgresql://me")


def test_production_requires_a_secret_key(environment: Environment) -> None:
    environment(environment="production")
    assert load_error() == (
        "BEDPLATE_SECRET_KEY is required in production. "
        "Create one with: openssl rand -hex 32"
    )

    environment(secret_key=KEY)
    assert Settings.load().is_production


def test_a_secret_key_has_32_bytes(environment: Environment) -> None:
    environment(secret_key="éßżюйЩжќäöøłđŧħŋ")

    Settings.load()


def test_a_generated_key_is_readable_by_its_owner_only(folder: Path) -> None:
    first = Settings.load().key_for("tokens")
    key_file = folder / ".bedplate" / "secret_key"

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert len(key_file.read_bytes()) >= 32
    assert Settings.load().key_for("tokens") == first
    assert [path.name for path in key_file.parent.iterdir()] == ["secret_key"]


def test_a_stored_key_that_others_can_read_is_made_private(folder: Path) -> None:
    Settings.load().key_for("tokens")
    key_file = folder / ".bedplate" / "secret_key"
    key_file.chmod(0o644)

    Settings.load().key_for("tokens")

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_a_stored_key_that_was_truncated_is_rejected(folder: Path) -> None:
    (folder / ".bedplate").mkdir()
    (folder / ".bedplate" / "secret_key").write_bytes(b"short")

    with pytest.raises(SettingsError, match="too short"):
        Settings.load().key_for("tokens")


def test_each_purpose_has_its_own_key() -> None:
    settings = Settings.load(secret_key=KEY)

    assert settings.key_for("tokens") != settings.key_for("cursors")


def test_processes_that_start_together_agree_on_one_key(folder: Path) -> None:
    program = "from bedplate.config import Settings as s; print(s.load().key_for('x'))"
    command = [sys.executable, "-c", program]

    def start(_: int) -> str:
        process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
        return process.stdout

    with ThreadPoolExecutor(2) as threads:
        assert len(set(threads.map(start, range(2)))) == 1


def test_threads_that_start_together_agree_on_one_key(folder: Path) -> None:
    def derive(_: int) -> bytes:
        return Settings.load(_env_file=None).key_for("x")

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(derive, range(64)))) == 1

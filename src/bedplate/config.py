"""Settings: typed, read from the environment (prefix `BEDPLATE_`) and `.env`."""

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bedplate.core.key_strength import MIN_BITS, estimate_bits
from bedplate.core.password_policy import POLICIES
from bedplate.core.permissions import ADMIN, USER
from bedplate.core.private_files import make_private_directory, write_draft
from bedplate.core.security import derive_key
from bedplate.environment import find_unknown_variable
from bedplate.setting_errors import describe_error

PREFIX = "BEDPLATE_"
MIN_SECRET_BYTES = 32
_CREATE_KEY = "Create one with: openssl rand -hex 32"
SERVED_AT = "_BEDPLATE_SERVED_AT"
"""The address that `bedplate serve` listens on, which it sets for its processes."""


class SettingsError(Exception):
    """A setting is wrong. The text names the variable and never shows a secret."""


def _split(value: object) -> object:
    """Split `a, b`, the form of lists in environment variables."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _matches(pattern: str, problem: str) -> AfterValidator:
    """Return a validator of a pattern, with a message that explains it."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(problem)
        return value

    return AfterValidator(check)


# Each message continues "BEDPLATE_X: 'value'", or "BEDPLATE_X: the value" for secrets.


def _check_database_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):  # a port that is not a number is a ValueError
        raise ValueError(
            "is not a database URL. Use sqlite:///path/app.db or "
            "postgresql://user:password@host/name."
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(
            "is a URL of another database. Use one that starts with sqlite:/// or "
            "postgresql://."
        )
    # Processes and threads share the database, so it can't be in memory.
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("does not name a file. Use sqlite:///path/app.db.")
    return value


class MailUrl(NamedTuple):
    """The parts of a mail URL."""

    scheme: str
    path: Path
    host: str
    port: int
    username: str | None
    password: str | None
    tls: str


_MAIL_PORTS = {"none": 25, "starttls": 587, "tls": 465}


def _parse_mail_url(text: str) -> MailUrl:
    """Return the parts of a mail URL.

    Raises:
        ValueError: the text is for users, and does not contain the password.
    """
    url = urlsplit(text)
    if url.scheme not in ("console", "file", "smtp"):
        raise ValueError(
            "has another scheme. Use console://, file:///directory or smtp://host:587."
        )
    if url.scheme == "file" and (url.netloc or url.path in ("", "/")):
        raise ValueError("does not name a directory. Use file:///var/mail/out.")
    if url.scheme == "smtp" and not url.hostname:
        raise ValueError("does not name a server. Use smtp://mail.example.com:587.")
    tls = _mail_tls(url.query, has_password=url.password is not None)
    try:
        port = url.port or _MAIL_PORTS[tls]
    except ValueError:
        raise ValueError(
            "has a port that is not a number. Use a number from 1 to 65535."
        ) from None
    return MailUrl(
        url.scheme,
        Path(unquote(url.path)),
        url.hostname or "",
        port,
        unquote(url.username) if url.username else None,
        unquote(url.password) if url.password else None,
        tls,
    )


def _mail_tls(query: str, *, has_password: bool) -> str:
    # A password is only sent unencrypted if `tls=none` is explicit.
    options = {"tls": ["starttls" if has_password else "none"], **parse_qs(query)}
    tls = options.pop("tls")[-1]
    if options or tls not in _MAIL_PORTS:
        raise ValueError(
            "has an unknown option. Use ?tls=starttls, ?tls=tls or ?tls=none."
        )
    return tls


def _check_mail_url(value: SecretStr) -> SecretStr:
    _parse_mail_url(value.get_secret_value())
    return value


def _check_mailbox(value: str) -> str:
    _, address = parseaddr(value)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not value.isprintable():
        raise ValueError("is not an address. Use `Acme <hello@acme.example>`.")
    return value


def _check_secret_key(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"is too short. Use at least {MIN_SECRET_BYTES} bytes. {_CREATE_KEY}"
        )
    if estimate_bits(secret) < MIN_BITS:
        raise ValueError(f"is easy to guess. {_CREATE_KEY}")
    return value


def _check_policy(value: str) -> str:
    if value not in POLICIES and not re.fullmatch(r"[\w.]+:\w+", value):
        names = ", ".join(POLICIES)
        raise ValueError(
            f"is not a password policy. Use {names}, or the import path of a "
            "function, such as shop.passwords:check."
        )
    return value


def _check_metrics_token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]{16,}", value.get_secret_value()):
        raise ValueError(
            "is not a token. Use at least 16 visible ASCII characters without spaces. "
            f"{_CREATE_KEY}"
        )
    return value


def _parse_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('is not JSON. Use {"editor": ["posts:write_any"]}.') from None


CommaSeparated = BeforeValidator(_split)
AsJson = BeforeValidator(_parse_json)
RoleName = Annotated[
    str,
    _matches(
        r"[a-z][a-z0-9_-]{0,49}",
        "is not a role name. Use 1 to 50 of a-z, 0-9, _ and -, starting with a letter.",
    ),
]
PasswordPolicyName = Annotated[str, AfterValidator(_check_policy)]
"""A password policy: `reference`, `modern`, `strict` or `module:callable`."""
SecretKey = Annotated[SecretStr, AfterValidator(_check_secret_key)]

HostName = Annotated[
    str,
    _matches(
        r"\.?[\w.-]+|\[[\da-fA-F:]+\]",
        "is not a host name. Use example.com, or .example.com for all names below it.",
    ),
]


def _check_redis_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(
            "is not a Redis URL. Use one that starts with redis://, rediss:// or unix://."
        )
    return value


def _check_rate(value: str) -> str:
    import limits  # here, so that reading the settings imports nothing but pydantic

    try:
        limits.parse(value)
    except ValueError:
        raise ValueError("is not a rate limit. Use `5 per 5 minutes`.") from None
    return value


RateLimit = Annotated[str, AfterValidator(_check_rate)]
Link = (
    Annotated[
        str,
        _matches(
            r"https?://[^\s/?#]+(/[^\s?#]*)?",
            "is not an http or https URL. Use https://app.example.com/path, without a "
            "query or fragment.",
        ),
    ]
    | None
)
ImportPath = Annotated[
    str, _matches(r"[\w.]+:\w+", "is not an import path. Use shop.main:app.")
]
Language = Annotated[
    str,
    _matches(
        r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*",
        "is not a language tag. Use one such as de or pt-BR.",
    ),
]


class Settings(BaseSettings):
    """Settings of a deployment. Read them with `Settings.load()`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        # Compose files and CI set variables to "" that are not configured.
        env_ignore_empty=True,
        # `load` rejects unknown variables itself, with a suggestion.
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        "development",
        description="`production` requires a secret key, logs JSON, and turns "
        "off the API docs and an unprotected `/metrics`.",
    )
    app: ImportPath | None = Field(
        None,
        description="Application that the commands and the server run, such as "
        "`shop.main:app`. Default: `app` in `[tool.bedplate]` of "
        "`pyproject.toml`, else the built-in modules.",
    )
    data_dir: Path = Field(
        Path(".bedplate"),
        description="Directory of the SQLite file and of the secret key that is "
        "generated in development. Created if missing, readable by its owner "
        "only.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] | None = (
        Field(
            None,
            description="Database to use: `sqlite:///path` or "
            "`postgresql://user:password@host/name`. Bedplate chooses the driver. "
            "Default: a SQLite file in `DATA_DIR`.",
        )
    )
    secret_key: SecretKey | None = Field(
        None,
        description="Key that signs tokens, cookies and cursors: at least 32 "
        "bytes and hard to guess, such as the output of `openssl rand -hex "
        "32`. Default in development: generated and stored in `DATA_DIR`. "
        "Required in production.",
    )
    previous_secret_keys: Annotated[tuple[SecretKey, ...], NoDecode, CommaSeparated] = (
        Field(
            (),
            description="Earlier secret keys whose tokens, cookies and cursors "
            "are still accepted while you change `SECRET_KEY`. They sign nothing "
            "new.",
        )
    )
    public_url: Link = Field(
        None,
        description="URL under which browsers reach the service. Used for links "
        "in mails. Default: the address that `bedplate serve` listens on.",
    )
    mail_url: Annotated[SecretStr, AfterValidator(_check_mail_url)] = Field(
        SecretStr("console://"),
        description="How mail is sent: `console://` prints it, `file:///dir` "
        "writes one .eml file per mail, "
        "`smtp://user:password@host:587?tls=starttls` sends it. `?tls=` takes "
        "`starttls` (default with a password), `tls` or `none` (default "
        "without).",
    )
    mail_from: Annotated[str, AfterValidator(_check_mailbox)] = Field(
        "Bedplate <bedplate@localhost>",
        description="Sender of outgoing mail. Its display name is used as the "
        "product name in mail templates.",
    )
    mail_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds to wait for the SMTP server."
    )
    mail_templates: Path | None = Field(
        None,
        description="Directory of your own mail templates. `en/welcome.html` in "
        "it replaces the built-in template of that name. Default: the built-"
        "in templates.",
    )
    mail_language: Language = Field(
        "en",
        description="Language of mails, such as `de` or `pt-BR`. A template "
        "that is not translated is sent in English.",
    )
    embedded_worker: bool | None = Field(
        None,
        description="Run jobs inside the server process. Default: on with "
        "SQLite; off with PostgreSQL, where you run `bedplate worker`.",
    )
    worker_concurrency: int = Field(
        20,
        ge=1,
        le=1000,
        description="Jobs that one worker runs at the same time, per queue.",
    )
    worker_stop_seconds: int = Field(
        10,
        ge=1,
        le=3600,
        description="Seconds that a stopping worker waits for its running jobs. "
        "Unfinished jobs run again later.",
    )
    job_retention_days: int = Field(
        7, ge=1, le=3650, description="Days that a succeeded job is stored."
    )
    signup: Literal["open", "closed"] = Field(
        "open",
        description="`open` lets anyone create an account; `closed` leaves that "
        "to admins.",
    )
    require_verified_email: bool = Field(
        False,
        description="Reject sign-in until the user has verified their email address.",
    )
    roles: Annotated[tuple[RoleName, ...], NoDecode, CommaSeparated] = Field(
        (USER, ADMIN),
        description="Roles that an account can have. Must contain `user` and `admin`.",
    )
    role_permissions: Annotated[dict[str, tuple[str, ...]], NoDecode, AsJson] = Field(
        {},
        description='Additional permissions of roles, as JSON: `{"editor": '
        '["posts:write_any"]}`. `admin` has all permissions.',
    )
    access_token_minutes: int = Field(
        15, ge=1, le=1440, description="Minutes that an access token is valid."
    )
    refresh_idle_days: int = Field(
        14, ge=1, le=3650, description="Days without use after which a session ends."
    )
    session_days: int = Field(
        60,
        ge=1,
        le=3650,
        description="Days after sign-in when a session ends, used or not.",
    )
    max_sessions_per_user: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Sessions that one account can have at the same time. One "
        "more ends the least recently used session.",
    )
    refresh_grace_seconds: int = Field(
        10,
        ge=0,
        le=300,
        description="Seconds that a used refresh token is accepted again, for "
        "clients that lost the response. `0`: never.",
    )
    reset_minutes: int = Field(
        60, ge=1, le=1440, description="Minutes that a password reset link is valid."
    )
    verify_hours: int = Field(
        24,
        ge=1,
        le=720,
        description="Hours that an email verification or change-of-address link "
        "is valid.",
    )
    password_policy: PasswordPolicyName = Field(
        "reference",
        description="Rules for new passwords. `reference`: 8 to 128 characters "
        "with an upper-case letter and a digit. `modern`: at least 8 "
        "characters, not a common password, and not part of the account's "
        "name or address. `strict`: like `modern`, with at least 12 "
        "characters. Or the import path of your own function, such as "
        "`shop.passwords:check`.",
    )
    breached_passwords_url: Link = Field(
        None,
        description="Range service that reports breached passwords, such as "
        "`https://api.pwnedpasswords.com/range`. It receives the first five "
        "characters of a new password's SHA-1 hash and nothing else. Default: "
        "new passwords are not checked against breaches.",
    )
    jwt_algorithm: Literal["HS256", "EdDSA", "ES256"] = Field(
        "HS256",
        description="Algorithm that signs access tokens. With `EdDSA` and "
        "`ES256` the public keys are published at `/.well-known/jwks.json`.",
    )
    rate_limits_enabled: bool = Field(
        True, description="Enforce the rate limits below."
    )
    redis_url: Annotated[SecretStr, AfterValidator(_check_redis_url)] | None = Field(
        None,
        description="Redis server that counts rate limits: `redis://…`. "
        "Default: the database counts them.",
    )
    limit_failed_sign_ins_per_account: RateLimit = Field(
        "5 per 5 minutes",
        description="Wrong passwords for one account, existing or not. Counted "
        "separately for each device that has signed in to the account before, "
        "and for each session that requires the current password.",
    )
    limit_failed_sign_ins_per_address: RateLimit = Field(
        "10 per minute", description="Wrong passwords from one client address."
    )
    limit_sign_ups_per_address: RateLimit = Field(
        "20 per hour", description="Sign-ups from one client address."
    )
    limit_mails_per_account: RateLimit = Field(
        "3 per hour",
        description="Mails of one kind that can be requested for one email address.",
    )
    limit_mails_per_address: RateLimit = Field(
        "20 per hour",
        description="Mails of one kind that can be requested from one client address.",
    )
    limit_refreshes_per_session: RateLimit = Field(
        "30 per minute", description="Refresh requests of one session."
    )
    audit_days: int = Field(
        365,
        ge=1,
        le=36500,
        description="Days that an audit event is stored. The database refuses "
        "to delete it earlier. A change applies to later events only.",
    )
    verify_url: Link = Field(
        None,
        description="Your page for email verification links. Default: the "
        "built-in page.",
    )
    reset_url: Link = Field(
        None,
        description="Your page for password reset links. Default: the built-in page.",
    )
    change_email_url: Link = Field(
        None,
        description="Your page for change-of-address links. Default: the built-"
        "in page.",
    )
    token_issuer: str = Field(
        "bedplate", min_length=1, description="The `iss` claim of access tokens."
    )
    max_body_bytes: int = Field(
        1 << 20,
        ge=1024,
        description="Largest request body in bytes. A larger one is answered with 413.",
    )
    max_header_bytes: int = Field(
        32 << 10,
        ge=4096,
        le=1 << 20,
        description="Largest request line and headers together, in bytes. "
        "Larger ones are answered with 431.",
    )
    max_header_count: int = Field(
        100,
        ge=20,
        le=10_000,
        description="Most headers of one request. More are answered with 431.",
    )
    header_timeout: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Seconds that a client has to send the request headers. "
        "After that, the answer is 408.",
    )
    body_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Seconds without a new byte of the request body before the "
        "answer is 408. Also seconds in which a client reads no byte of the "
        "response before the connection is closed.",
    )
    request_timeout: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Seconds that a client has to send the whole request. After "
        "that, the answer is 408. Raise it together with `MAX_BODY_BYTES`.",
    )
    keep_alive_timeout: int = Field(
        5,
        ge=1,
        le=3600,
        description="Seconds that an idle connection stays open for the next "
        "request. Behind a proxy, set it to more than the proxy's own "
        "timeout.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Connections that one process serves at the same time. "
        "Requests on further connections are answered with 503. Keep it below "
        "the limit of open files (`ulimit -n`).",
    )
    pool_size: int = Field(
        20, ge=1, le=1000, description="PostgreSQL connections of one process."
    )
    pool_timeout: float = Field(
        5.0,
        gt=0,
        le=300,
        description="Seconds to wait for a free database connection. After "
        "that, the answer is 503.",
    )
    database_connect_timeout: float = Field(
        3.0,
        gt=0,
        le=300,
        description="Seconds to wait for a new database connection to open. "
        "After that, the answer is 503.",
    )
    database_statement_timeout: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Seconds to wait for one statement on PostgreSQL. After "
        "that, the answer is 503, because the database may hang without being "
        "down. Migrations have no such limit.",
    )
    database_idle_transaction_timeout: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds after which PostgreSQL ends a transaction that "
        "does nothing, which releases its locks.",
    )
    transaction_pooler: bool = Field(
        False,
        description="Set it to `true` behind PgBouncer in transaction mode: "
        "prepared statements and session state are then avoided.",
    )
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, CommaSeparated
    ] = Field(
        (),
        description="Networks of your proxies in CIDR notation. `X-Forwarded-"
        "For` is used only if it comes from one of them. Default: it is "
        "ignored.",
    )
    allowed_hosts: Annotated[tuple[HostName, ...], NoDecode, CommaSeparated] = Field(
        (),
        description="Host names that the admin site answers to. `.example.com` "
        "includes all names below it. Default: the host of `PUBLIC_URL` and, "
        "in development, this machine.",
    )
    admin_session_hours: int = Field(
        12,
        ge=1,
        le=720,
        description="Hours after sign-in when a session of the admin site ends, "
        "used or not.",
    )
    admin_idle_minutes: int = Field(
        60,
        ge=2,
        le=1440,
        description="Minutes without use after which a session of the admin site ends.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, CommaSeparated] = Field(
        (),
        description="Origins whose pages can call the API from a browser, such "
        "as `https://app.example.com`. Default: only the service's own "
        "origin.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    docs: bool = Field(
        default_factory=lambda values: values.get("environment") == "development",
        description="Serve `/docs`, `/openapi.json` and "
        "`/django/api/v1/schema`. Default: in development only.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which `bedplate serve` serves `/metrics` and "
        "nothing else. The main port then does not serve it. Default: the "
        "main port does.",
    )
    metrics_token: Annotated[SecretStr, AfterValidator(_check_metrics_token)] | None = (
        Field(
            None,
            description="Bearer token that `/metrics` requires: at least 16 "
            "visible ASCII characters. In production, `/metrics` is 404 unless "
            "this or `METRICS_PORT` is set.",
        )
    )
    compiled_routes: bool = Field(
        True,
        description="Run routes by a plan that is compiled at start. `false` "
        "uses FastAPI's own handler, which is slower and works with its "
        "telemetry instrumentation.",
    )

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Return the settings of this environment.

        Raises:
            SettingsError: one line that names the first wrong or unknown variable.
        """
        cls._check_names(values)
        try:
            return cls(**values)
        except ValidationError as error:
            # `from None`: the traceback of pydantic's error could show a secret.
            line = describe_error(cls, PREFIX, error.errors()[0])
            raise SettingsError(line) from None

    @classmethod
    def _check_names(cls, values: dict[str, Any]) -> None:
        prefix = str(values.get("_env_prefix", PREFIX))
        env_file = values.get("_env_file", cls.model_config.get("env_file"))
        names = {*cls.model_fields, *_aliases(cls, prefix)}
        unknown = find_unknown_variable(prefix, names, env_file)
        if unknown is not None:
            raise SettingsError(unknown)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        # Sign-up assigns the first, and only the second can manage accounts.
        for role in (USER, ADMIN):
            if role not in self.roles:
                raise ValueError(
                    f"{PREFIX}ROLES: {role!r} is missing. Add {USER} and {ADMIN}."
                )
        unknown = sorted(self.role_permissions.keys() - set(self.roles))
        if unknown:
            raise ValueError(
                f"{PREFIX}ROLE_PERMISSIONS: {unknown[0]!r} is not a role. Add it to "
                f"{PREFIX}ROLES or remove its permissions."
            )
        if self.environment == "production" and self.secret_key is None:
            raise ValueError(
                f"{PREFIX}SECRET_KEY is required in production. {_CREATE_KEY}"
            )
        return self

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def is_https(self) -> bool:
        """Return whether browsers use TLS: in production, unless the URL is http."""
        url = self.public_url or ""
        return url.startswith("https://") or (self.is_production and not url)

    @property
    def serves_metrics(self) -> bool:
        """Return whether `/metrics` exists: in production only if it is protected."""
        is_protected = self.metrics_port is not None or self.metrics_token is not None
        return is_protected or not self.is_production

    @property
    def access_token_lifetime(self) -> timedelta:
        return timedelta(minutes=self.access_token_minutes)

    @property
    def resolved_database_url(self) -> URL:
        """Return the database URL without a driver. A SQLite path becomes absolute."""
        if self.database_url is None:
            path = self.data_dir / "bedplate.db"
            return URL.create("sqlite", database=str(path.absolute()))
        url = make_url(self.database_url.get_secret_value())
        url = url.set(drivername=url.get_backend_name())
        if url.drivername == "sqlite":
            url = url.set(database=str(Path(url.database or "").absolute()))
        return url

    @property
    def runs_worker(self) -> bool:
        if self.embedded_worker is not None:
            return self.embedded_worker
        return self.resolved_database_url.drivername == "sqlite"

    @property
    def link_base(self) -> str:
        """Return the base URL of links in mails: public, else where it is served."""
        served_at = os.environ.get(SERVED_AT)
        return (self.public_url or served_at or "http://127.0.0.1:8000").rstrip("/")

    @property
    def shown_database_url(self) -> str:
        """Return the database URL for people and logs, without its secrets."""
        # libpq accepts these in the query too, where SQLAlchemy doesn't mask them.
        url = self.resolved_database_url.difference_update_query(
            ("password", "sslpassword")
        )
        return url.render_as_string(hide_password=True)

    @property
    def parsed_mail_url(self) -> MailUrl:
        return _parse_mail_url(self.mail_url.get_secret_value())

    def key_for(self, purpose: str) -> bytes:
        """Return the key to sign with for a purpose, derived from the secret key.

        Verify with all of `keys_for`, so that keys can be rotated.

        Raises:
            SettingsError: the stored key can't be read or created.
        """
        return self.keys_for(purpose)[0]

    def keys_for(self, purpose: str) -> tuple[bytes, ...]:
        """Return a purpose's keys: the one to sign with first, then the previous ones.

        Raises:
            SettingsError: the stored key can't be read or created.
        """
        previous = (k.get_secret_value().encode() for k in self.previous_secret_keys)
        all_secrets = dict.fromkeys((self._secret(), *previous))
        return tuple(derive_key(secret, purpose) for secret in all_secrets)

    def _secret(self) -> bytes:
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        self.make_data_dir()
        return _load_secret(self.data_dir / "secret_key")

    def make_data_dir(self) -> None:
        """Create the data directory, readable by its owner only.

        Raises:
            SettingsError: it can't be created.
        """
        try:
            make_private_directory(self.data_dir)
        except OSError as error:
            raise SettingsError(
                f"{PREFIX}DATA_DIR: {str(self.data_dir)!r} can't be created: "
                f"{error.strerror}. Use a directory that this process can write to."
            ) from None


def _aliases(settings: type[BaseSettings], prefix: str) -> Iterator[str]:
    """Yield the old names of settings that were renamed, without the prefix."""
    for field in settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            for name in field.validation_alias.choices:
                yield str(name).upper().removeprefix(prefix)


def _load_secret(path: Path) -> bytes:
    """Return the stored key of development. Generate it if there is none."""
    try:
        if not path.exists():
            _create_file(path, secrets.token_hex(MIN_SECRET_BYTES).encode())
        # A copied or restored file may be readable by others.
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}DATA_DIR: the key file {path} can't be used: {error.strerror}. "
            "Check its owner and permissions."
        ) from None
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{PREFIX}DATA_DIR: the key file {path} is too short. Restore it, or "
            "delete it: a new key signs everyone out."
        )
    return secret


def _create_file(path: Path, secret: bytes) -> None:
    draft = write_draft(path, secret)
    try:
        # A link fails if the file exists, and the file is complete when it appears: of
        # two processes that start at the same time, both use the key of the first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

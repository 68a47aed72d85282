"""Settings: typed, from the environment (prefix `BEDPLATE_`) and `.env`."""

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

PREFIX = "BEDPLATE_"
MIN_SECRET_BYTES = 32
_MAKE_KEY = "Make one with: openssl rand -hex 32"
SERVED_AT = "_BEDPLATE_SERVED_AT"
"""Set by `bedplate serve` for itself and its workers: the address it listens on."""


class SettingsError(Exception):
    """A setting is wrong. The text names the variable and never holds its value."""


def _split(value: object) -> object:
    """`a, b` as it stands in an environment variable."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _check_database_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        raise ValueError("is not a database URL") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError("must start with sqlite:/// or postgresql://")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("must name a file, as in sqlite:///path/app.db")
    return value


class MailUrl(NamedTuple):
    """A mail URL, taken apart."""

    scheme: str
    path: Path
    host: str
    port: int
    username: str | None
    password: str | None
    tls: str


_MAIL_PORTS = {"none": 25, "starttls": 587, "tls": 465}


def _parse_mail_url(text: str) -> MailUrl:
    """The URL taken apart.

    Raises:
        ValueError: what is wrong with it, without its password.
    """
    url = urlsplit(text)
    if url.scheme not in ("console", "file", "smtp"):
        raise ValueError("must start with console://, file:/// or smtp://")
    if url.scheme == "file" and (url.netloc or url.path in ("", "/")):
        raise ValueError("must name a folder, as in file:///var/mail/out")
    if url.scheme == "smtp" and not url.hostname:
        raise ValueError("must name a server, as in smtp://mail.example.com:587")
    tls = _mail_tls(url.query, has_password=url.password is not None)
    try:
        port = url.port or _MAIL_PORTS[tls]
    except ValueError:
        raise ValueError("has a port that is no number") from None
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
    # A password never goes out in plain unless `tls=none` says so.
    given = {"tls": ["starttls" if has_password else "none"], **parse_qs(query)}
    tls = given.pop("tls")[-1]
    if given or tls not in _MAIL_PORTS:
        raise ValueError("takes one option: ?tls=starttls, ?tls=tls or ?tls=none")
    return tls


def _check_mail_url(value: SecretStr) -> SecretStr:
    _parse_mail_url(value.get_secret_value())
    return value


def _check_mailbox(value: str) -> str:
    _, address = parseaddr(value)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not value.isprintable():
        raise ValueError("must be an address, as in `Acme <hello@acme.example>`")
    return value


def _check_secret_key(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes long. {_MAKE_KEY}")
    if estimate_bits(secret) < MIN_BITS:
        raise ValueError(f"is easy to guess. {_MAKE_KEY}")
    return value


def _check_policy(value: str) -> str:
    if value not in POLICIES and not re.fullmatch(r"[\w.]+:\w+", value):
        names = ", ".join(POLICIES)
        raise ValueError(f"must be one of {names}, or like `shop.passwords:check`")
    return value


def _check_metrics_token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]{16,}", value.get_secret_value()):
        raise ValueError("must be at least 16 visible ASCII characters, no spaces")
    return value


def _check_role(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,49}", value):
        raise ValueError("a role is 1 to 50 of a-z, 0-9, _ and -, a letter first")
    return value


def _parse_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("is not JSON") from None


CommaSeparated = BeforeValidator(_split)
AsJson = BeforeValidator(_parse_json)
RoleName = Annotated[str, AfterValidator(_check_role)]
PasswordPolicyName = Annotated[str, AfterValidator(_check_policy)]
SecretKey = Annotated[SecretStr, AfterValidator(_check_secret_key)]


HostName = Annotated[str, Field(pattern=r"^\.?[\w.-]+$|^\[[\da-fA-F:]+\]$")]


def _check_redis_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return value


def _check_rate(value: str) -> str:
    import limits  # here, so that reading settings needs no more than pydantic

    try:
        limits.parse(value)
    except ValueError:
        raise ValueError("is written like `5 per 5 minutes`") from None
    return value


RateLimit = Annotated[str, AfterValidator(_check_rate)]
Link = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")] | None


class Settings(BaseSettings):
    """Everything that a deployment may choose.

    Raises:
        SettingsError: from `load`, one line that names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        "development", description="`production` asks for a secret key and logs JSON."
    )
    app: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = Field(
        None,
        description="The application that commands and server are about, as "
        "`shop.main:app`. Default: `app` in `[tool.bedplate]` of `pyproject.toml`, "
        "else the built-in modules.",
    )
    data_dir: Path = Field(
        Path(".bedplate"),
        description="Directory of the SQLite file and the "
        "made key. Created for its owner only.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] | None = (
        Field(
            None,
            description="`sqlite:///path` or `postgresql://…`; the driver is ours to "
            "pick. Default: a SQLite file in `DATA_DIR`.",
        )
    )
    secret_key: SecretKey | None = Field(
        None,
        description="Signs tokens, cookies and cursors. At least 32 bytes, made by "
        "`openssl rand -hex 32`; a key that is easy to guess is refused. In "
        "development one is made and kept in `DATA_DIR`.",
    )
    previous_secret_keys: Annotated[tuple[SecretKey, ...], NoDecode, CommaSeparated] = (
        Field(
            (),
            description="Secret keys whose tokens, cookies and cursors are still "
            "accepted, while you change `SECRET_KEY`. Nothing new is signed with them.",
        )
    )
    public_url: Link = Field(
        None,
        description="How browsers reach the service, for links in mails. Default: "
        "where `bedplate serve` listens.",
    )
    mail_url: Annotated[SecretStr, AfterValidator(_check_mail_url)] = Field(
        SecretStr("console://"),
        description="`console://`, `file:///dir` (an .eml a mail) or "
        "`smtp://user:password@host:587?tls=starttls` (or `tls`, `none`).",
    )
    mail_from: Annotated[str, AfterValidator(_check_mailbox)] = Field(
        "Bedplate <bedplate@localhost>",
        description="Whom mail is from; the name is the product's in its texts.",
    )
    mail_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds to wait for the SMTP server."
    )
    mail_templates: Path | None = Field(
        None,
        description="A folder whose `en/welcome.html` and the like replace ours.",
    )
    mail_language: str = Field(
        "en",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Of the mails, as `de` or `pt-BR`; English where one is missing.",
    )
    embedded_worker: bool | None = Field(
        None,
        description="Run jobs inside the server. Default: on SQLite yes, else "
        "`bedplate worker` does.",
    )
    worker_concurrency: int = Field(
        20, ge=1, le=1000, description="Jobs that one worker runs at once, a queue."
    )
    worker_stop_seconds: int = Field(
        10, ge=1, le=3600, description="How long a stopping worker finishes its jobs."
    )
    job_retention_days: int = Field(
        7, ge=1, le=3650, description="How long a job that ended well is kept."
    )
    signup: Literal["open", "closed"] = Field(
        "open", description="Whether strangers may create an account."
    )
    require_verified_email: bool = Field(
        False, description="Refuse sign-in until the address is verified."
    )
    roles: Annotated[tuple[RoleName, ...], NoDecode, CommaSeparated] = Field(
        (USER, ADMIN), description="The roles that an account may have."
    )
    role_permissions: Annotated[dict[str, tuple[str, ...]], NoDecode, AsJson] = Field(
        {},
        description='What roles may do besides, as JSON: `{"editor": '
        '["posts:write_any"]}`. `admin` may do all of it.',
    )
    access_token_minutes: int = Field(
        15, ge=1, le=1440, description="How long an access token is good for."
    )
    refresh_idle_days: int = Field(
        14, ge=1, le=3650, description="A sign-in that is not used as long has ended."
    )
    session_days: int = Field(
        60, ge=1, le=3650, description="How long a sign-in lasts at the most."
    )
    max_sessions_per_user: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Sign-ins of one account at once. One more ends the one that was "
        "not used for the longest time.",
    )
    refresh_grace_seconds: int = Field(
        10, ge=0, le=300, description="How long a spent refresh token may come again."
    )
    reset_minutes: int = Field(
        60, ge=1, le=1440, description="How long a password reset link is good for."
    )
    verify_hours: int = Field(
        24, ge=1, le=720, description="How long an email link is good for."
    )
    password_policy: PasswordPolicyName = Field(
        "reference",
        description="Rules for new passwords. `reference`: 8 to 128 characters, an "
        "upper-case letter and a digit. `modern`: at least 8 characters, no common "
        "password, nothing of the account's name or address. `strict`: the same from "
        "12 characters. Or a function of yours, as `shop.passwords:check`.",
    )
    breached_passwords_url: Link = Field(
        None,
        description="A range service that knows breached passwords, such as "
        "`https://api.pwnedpasswords.com/range`. It gets the first five characters of "
        "a new password's SHA-1 and nothing else. Default: no such check.",
    )
    jwt_algorithm: Literal["HS256", "EdDSA", "ES256"] = Field(
        "HS256",
        description="How access tokens are signed; other than HS256 the public keys "
        "are at `/.well-known/jwks.json`.",
    )
    rate_limits_enabled: bool = Field(True, description="Whether limits are enforced.")
    redis_url: Annotated[SecretStr, AfterValidator(_check_redis_url)] | None = Field(
        None, description="`redis://…`: count limits there, not in the database."
    )
    limit_failed_sign_ins_per_account: RateLimit = Field(
        "5 per 5 minutes",
        description="Wrong passwords for one account, known or not. Also of one "
        "device that has signed in to it before, and of one session that asks for the "
        "current password.",
    )
    limit_failed_sign_ins_per_address: RateLimit = Field(
        "10 per minute", description="Wrong passwords from one client address."
    )
    limit_sign_ups_per_address: RateLimit = Field(
        "20 per hour", description="Sign-ups from one client address."
    )
    limit_mails_per_account: RateLimit = Field(
        "3 per hour", description="Mails of one kind that are asked for one address."
    )
    limit_mails_per_address: RateLimit = Field(
        "20 per hour",
        description="Mails of one kind asked for from one client address.",
    )
    limit_refreshes_per_session: RateLimit = Field(
        "30 per minute", description="Uses of the refresh tokens of one sign-in."
    )
    audit_days: int = Field(
        365,
        ge=1,
        le=36500,
        description="Days that an audit event is kept. The database refuses to delete "
        "it before. A change applies to events from then on.",
    )
    verify_url: Link = Field(
        None, description="Your page for verification links; default: ours."
    )
    reset_url: Link = Field(
        None, description="Your page for password reset links; default: ours."
    )
    change_email_url: Link = Field(
        None, description="Your page for change-of-address links; default: ours."
    )
    token_issuer: str = Field(
        "bedplate", min_length=1, description="The `iss` claim of our tokens."
    )
    max_body_bytes: int = Field(
        1 << 20, ge=1024, description="Bodies over this are answered 413."
    )
    max_header_bytes: int = Field(
        32 << 10,
        ge=4096,
        le=1 << 20,
        description="Request line and headers over this are answered 431.",
    )
    max_header_count: int = Field(
        100, ge=20, le=10_000, description="More request headers are answered 431."
    )
    header_timeout: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Seconds in which a client has to send its headers, then 408.",
    )
    body_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Seconds without a byte of a body before the answer is 408, and "
        "without a byte of the answer read before the connection is closed.",
    )
    request_timeout: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Seconds in which a client has to send the whole request, then "
        "408. Raise it together with `MAX_BODY_BYTES`.",
    )
    keep_alive_timeout: int = Field(
        5,
        ge=1,
        le=3600,
        description="Seconds that an idle connection stays open for the next request. "
        "Behind a proxy, set it longer than the proxy's.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Connections of one process; requests on more are answered 503. "
        "Keep it below the limit of open files (`ulimit -n`).",
    )
    pool_size: int = Field(
        20, ge=1, le=1000, description="PostgreSQL connections of one process."
    )
    pool_timeout: float = Field(
        5.0, gt=0, le=300, description="Seconds to wait for a connection, then 503."
    )
    database_connect_timeout: float = Field(
        3.0, gt=0, le=300, description="Seconds to wait for a new connection, then 503."
    )
    database_statement_timeout: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Seconds to wait for a statement on PostgreSQL, then 503: it may "
        "hang instead of being down. Migrations have no such limit.",
    )
    database_idle_transaction_timeout: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds after which PostgreSQL ends a transaction that does "
        "nothing, and frees its locks.",
    )
    transaction_pooler: bool = Field(
        False, description="Set behind PgBouncer in transaction mode."
    )
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, CommaSeparated
    ] = Field((), description="CIDRs whose `X-Forwarded-For` is believed.")
    allowed_hosts: Annotated[tuple[HostName, ...], NoDecode, CommaSeparated] = Field(
        (),
        description="Names that the admin site answers to, `.example.com` with all "
        "below it. Default: the public URL's and, in development, this machine's.",
    )
    admin_session_hours: int = Field(
        12, ge=1, le=720, description="How long a sign-in to the admin site lasts."
    )
    admin_idle_minutes: int = Field(
        60,
        ge=2,
        le=1440,
        description="A sign-in to the admin site that is not used this long has ended.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, CommaSeparated] = Field(
        (), description="Origins whose pages may call the API from a browser."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe level that is logged."
    )
    docs: bool = Field(
        default_factory=lambda values: values.get("environment") == "development",
        description="Serve `/docs`, `/openapi.json` and `/django/api/v1/schema`. "
        "Default: in development only.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which `bedplate serve` answers `/metrics`, and nothing "
        "else. Then the main port does not.",
    )
    metrics_token: Annotated[SecretStr, AfterValidator(_check_metrics_token)] | None = (
        Field(
            None,
            description="Bearer token that `/metrics` requires, at least 16 "
            "characters. In production `/metrics` needs this or a port of its own, "
            "else it is 404.",
        )
    )
    compiled_routes: bool = Field(
        True,
        description="Run routes by a plan made at start. Off: FastAPI's own handler "
        "and telemetry, slower.",
    )

    @classmethod
    def load(cls, **values: Any) -> Self:
        """The settings as they resolve here.

        Raises:
            SettingsError: one line that names the first wrong or unknown variable.
        """
        cls._check_names(values)
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False)[0]
            raise SettingsError(_describe(first["loc"], first["msg"])) from None

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
        for role in (USER, ADMIN):
            if role not in self.roles:
                raise ValueError(f"{PREFIX}ROLES must hold {USER} and {ADMIN}")
        if self.role_permissions.keys() - set(self.roles):
            told = f"{PREFIX}ROLE_PERMISSIONS names a role that is not in {PREFIX}ROLES"
            raise ValueError(told)
        if self.environment == "production" and self.secret_key is None:
            raise ValueError(f"{PREFIX}SECRET_KEY is required in production")
        return self

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def is_https(self) -> bool:
        """Whether browsers use TLS: in production, unless the public URL says no."""
        url = self.public_url or ""
        return url.startswith("https://") or (self.is_production and not url)

    @property
    def serves_metrics(self) -> bool:
        """Whether `/metrics` exists: in production only if it is guarded."""
        is_guarded = self.metrics_port is not None or self.metrics_token is not None
        return is_guarded or not self.is_production

    @property
    def access_token_lifetime(self) -> timedelta:
        return timedelta(minutes=self.access_token_minutes)

    @property
    def resolved_database_url(self) -> URL:
        """The database's URL without a driver; a SQLite path made absolute."""
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
        """Where links in mails lead: the public URL, else where this server listens."""
        served_at = os.environ.get(SERVED_AT)
        return (self.public_url or served_at or "http://127.0.0.1:8000").rstrip("/")

    @property
    def shown_database_url(self) -> str:
        """The database's URL for people and logs, without its secrets."""
        # libpq takes these in the query as well.
        url = self.resolved_database_url.difference_update_query(
            ("password", "sslpassword")
        )
        return url.render_as_string(hide_password=True)

    @property
    def parsed_mail_url(self) -> MailUrl:
        return _parse_mail_url(self.mail_url.get_secret_value())

    def key_for(self, purpose: str) -> bytes:
        """Return the key to sign with for a purpose, derived from the secret key.

        What is verified later has to accept all of `keys_for`.

        Raises:
            SettingsError: the kept key can't be read or made.
        """
        return self.keys_for(purpose)[0]

    def keys_for(self, purpose: str) -> tuple[bytes, ...]:
        """Return a purpose's keys: the one to sign with first, then the previous ones.

        Raises:
            SettingsError: the kept key can't be read or made.
        """
        previous = (k.get_secret_value().encode() for k in self.previous_secret_keys)
        secrets_ = dict.fromkeys((self._secret(), *previous))
        return tuple(derive_key(secret, purpose) for secret in secrets_)

    def _secret(self) -> bytes:
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        self.make_data_dir()
        return _kept_secret(self.data_dir / "secret_key")

    def make_data_dir(self) -> None:
        """Raises SettingsError when it can't be made."""
        try:
            make_private_directory(self.data_dir)
        except OSError as error:
            reason = f"{self.data_dir} can't be made: {error.strerror}"
            raise SettingsError(f"{PREFIX}DATA_DIR: {reason}") from None


def _aliases(settings: type[BaseSettings], prefix: str) -> Iterator[str]:
    """Yield the old names of settings that were renamed, without the prefix."""
    for field in settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            for name in field.validation_alias.choices:
                yield str(name).upper().removeprefix(prefix)


def _describe(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    return f"{PREFIX}{str(location[0]).upper()}: {message}"


def _kept_secret(path: Path) -> bytes:
    """Development's key: made once, readable by its owner only."""
    try:
        if not path.exists():
            _write_once(path, secrets.token_hex(MIN_SECRET_BYTES).encode())
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        secret = path.read_bytes()
    except OSError as error:
        reason = f"{path} can't be used: {error.strerror}"
        raise SettingsError(f"{PREFIX}DATA_DIR: {reason}") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(f"{PREFIX}DATA_DIR: {path} is too short to be a key")
    return secret


def _write_once(path: Path, secret: bytes) -> None:
    """Whole or not at all, so that two processes starting at once agree on one key."""
    draft = write_draft(path, secret)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # the other process was first: its key is the one
    finally:
        draft.unlink()

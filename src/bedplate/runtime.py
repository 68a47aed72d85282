"""`Runtime`: the parts of one running application, besides its routes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bedplate.config import PREFIX, Settings, SettingsError
from bedplate.core.device_cookies import DeviceCookies
from bedplate.core.permissions import ENTER_ADMIN, Permissions, UnknownPermission
from bedplate.core.security import AccessTokens, TokenKey
from bedplate.database import Database
from bedplate.database.engines import Timeouts
from bedplate.jobs import Job, JobOutbox
from bedplate.limits import Limits, make_limits
from bedplate.mail import Mailer, make_mailer, outbox_folder
from bedplate.module import Authenticate, Module, StartHook, migrations_of
from bedplate.passwords import PasswordRules, load_policy

AUDIT_DAYS: Final = "audit_days"


@dataclass(frozen=True)
class Runtime:
    """Created once per process, by `create_app`, a command or a worker."""

    settings: Settings
    database: Database
    tokens: AccessTokens
    device_cookies: DeviceCookies
    permissions: Permissions
    limits: Limits
    passwords: PasswordRules
    mailer: Mailer
    jobs: JobOutbox
    migrations: Sequence[str]
    """The folders of the modules' revisions, lowest module first."""
    mail_folders: Sequence[Path]
    """Directories of mail templates. Those of later modules come first."""
    sign_up_jobs: Sequence[Job]
    """Jobs to start for each new account."""
    start_hooks: Sequence[StartHook]
    authenticate: Authenticate | None

    @classmethod
    def make(cls, settings: Settings, modules: Sequence[Module]) -> "Runtime":
        """Create the parts without opening a connection.

        Raises:
            SettingsError: the secret key is unavailable, the password policy can't be
                imported, or a role has a permission that no module declares.
        """
        database = make_database(settings)
        return cls(
            settings=settings,
            database=database,
            tokens=make_tokens(settings),
            device_cookies=make_device_cookies(settings),
            permissions=make_permissions(settings, modules),
            limits=make_rate_limits(settings, database),
            passwords=make_password_rules(settings),
            mailer=make_mailer(settings),
            jobs=JobOutbox(database, [job for m in modules for job in m.jobs]),
            migrations=migrations_of(modules),
            mail_folders=[
                m.mail_templates for m in reversed(modules) if m.mail_templates
            ],
            sign_up_jobs=[job for m in modules for job in m.on_sign_up],
            start_hooks=[m.on_start for m in modules if m.on_start is not None],
            authenticate=next(
                (m.authenticate for m in modules if m.authenticate), None
            ),
        )

    async def start(self) -> None:
        """Run the modules' `on_start` hooks. The schema must be at head."""
        for hook in self.start_hooks:
            await hook(self)

    async def close(self) -> None:
        """Close all connections."""
        # The database last, because the others may still use it.
        await self.mailer.close()
        await self.jobs.close()
        await self.passwords.close()
        await self.limits.close()
        await self.database.close()


def make_database(settings: Settings) -> Database:
    if settings.database_url is None:
        settings.make_data_dir()  # it contains the default database
    database = Database(
        settings.resolved_database_url,
        cursor_keys=settings.keys_for("list cursors"),
        pool_size=settings.pool_size,
        pool_timeout=settings.pool_timeout,
        transaction_pooler=settings.transaction_pooler,
        # A second connection of one task is an error in development and only logged
        # in production, where it usually succeeds.
        is_strict=not settings.is_production,
        timeouts=timeouts_of(settings),
    )
    database.session_info[AUDIT_DAYS] = settings.audit_days
    return database


def timeouts_of(settings: Settings) -> Timeouts:
    """Return the timeouts of PostgreSQL."""
    return Timeouts(
        connect=settings.database_connect_timeout,
        statement=settings.database_statement_timeout,
        idle_transaction=settings.database_idle_transaction_timeout,
    )


def private_paths(settings: Settings) -> Iterator[Path]:
    """Yield files and folders with secrets or personal data, which must be private."""
    yield settings.data_dir.absolute()
    yield settings.data_dir.absolute() / "secret_key"
    url = settings.resolved_database_url
    if url.drivername == "sqlite":
        # SQLite's journals contain rows too.
        for suffix in ("", "-wal", "-shm", "-journal"):
            yield Path(f"{url.database}{suffix}")
    if (outbox := outbox_folder(settings)) is not None:
        yield outbox.absolute()
        yield from sorted(outbox.absolute().glob("*.eml"))


def make_permissions(settings: Settings, modules: Sequence[Module]) -> Permissions:
    declared = [ENTER_ADMIN, *(p for module in modules for p in module.permissions)]
    try:
        return Permissions(declared, settings.role_permissions)
    except UnknownPermission as error:
        raise SettingsError(f"{PREFIX}ROLE_PERMISSIONS: {error}") from None


def make_tokens(settings: Settings) -> AccessTokens:
    """Return the token signer. Keys other than HS256's are loaded at start."""
    secrets = settings.keys_for("access tokens")
    is_symmetric = settings.jwt_algorithm == "HS256"
    return AccessTokens(
        [TokenKey(None, s, s) for s in secrets] if is_symmetric else [],
        algorithm=settings.jwt_algorithm,
        issuer=settings.token_issuer,
        lifetime=settings.access_token_lifetime,
    )


def make_password_rules(settings: Settings) -> PasswordRules:
    policy, url = load_policy(settings), settings.breached_passwords_url
    if url is None:
        return PasswordRules(policy)
    from bedplate.breached import RangeService  # here, because it loads an HTTP client

    return PasswordRules(policy, RangeService(url))


def make_device_cookies(settings: Settings) -> DeviceCookies:
    keys = settings.keys_for("device cookies")
    return DeviceCookies(keys, secure=settings.is_https)


def make_rate_limits(settings: Settings, database: Database) -> Limits:
    redis = settings.redis_url
    return make_limits(
        database,
        redis_url=redis.get_secret_value() if redis else None,
        enabled=settings.rate_limits_enabled,
    )

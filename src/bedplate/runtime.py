"""What one running application consists of, besides its routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bedplate.config import Settings
from bedplate.core.security import AccessTokens, TokenKey
from bedplate.database import Database
from bedplate.jobs import Promises
from bedplate.limits import Limits, make_limits
from bedplate.mail import Mailer, make_mailer
from bedplate.module import Authenticate, Module


@dataclass(frozen=True)
class Runtime:
    """Made once by `create_app`, the command line or a worker; holds no request."""

    settings: Settings
    modules: Sequence[Module]
    database: Database
    tokens: AccessTokens
    limits: Limits
    mailer: Mailer
    jobs: Promises

    @classmethod
    def make(cls, settings: Settings, modules: Sequence[Module]) -> "Runtime":
        """Opens nothing yet.

        Raises:
            SettingsError: the secret key can't be had.
        """
        database = make_database(settings)
        return cls(
            settings=settings,
            modules=modules,
            database=database,
            tokens=make_tokens(settings),
            limits=make_rate_limits(settings, database),
            mailer=make_mailer(settings),
            jobs=Promises(database, [job for m in modules for job in m.jobs]),
        )

    async def start(self) -> None:
        """What the modules do before the first request; the schema is at head."""
        for module in self.modules:
            if module.on_start is not None:
                await module.on_start(self)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.mailer.close()
        await self.limits.close()
        await self.database.close()

    @property
    def authenticate(self) -> Authenticate | None:
        return next((m.authenticate for m in self.modules if m.authenticate), None)


def make_database(settings: Settings) -> Database:
    if settings.database_url is None:
        settings.make_data_dir()  # the default file lies there
    return Database(
        settings.resolved_database_url,
        cursor_key=settings.key_for("list cursors"),
        pool_size=settings.pool_size,
        pool_timeout=settings.pool_timeout,
        transaction_pooler=settings.transaction_pooler,
    )


def make_tokens(settings: Settings) -> AccessTokens:
    """HS256 has its key at once; the others' are loaded from the database at start."""
    secret = settings.key_for("access tokens")
    is_symmetric = settings.jwt_algorithm == "HS256"
    return AccessTokens(
        [TokenKey(None, secret, secret)] if is_symmetric else [],
        algorithm=settings.jwt_algorithm,
        issuer=settings.token_issuer,
        lifetime=settings.access_token_lifetime,
    )


def make_rate_limits(settings: Settings, database: Database) -> Limits:
    redis = settings.redis_url
    return make_limits(
        database,
        redis_url=redis.get_secret_value() if redis else None,
        enabled=settings.rate_limits_enabled,
    )

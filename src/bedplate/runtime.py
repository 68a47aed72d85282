"""What one running application consists of, besides its routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from bedplate.config import Settings
from bedplate.core.security import AccessTokens
from bedplate.database import Database
from bedplate.jobs import InProcessEngine
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
    jobs: InProcessEngine

    @classmethod
    def make(cls, settings: Settings, modules: Sequence[Module]) -> "Runtime":
        """Opens nothing yet.

        Raises:
            SettingsError: the secret key can't be had.
        """
        database = make_database(settings)
        runtime = cls(
            settings=settings,
            modules=modules,
            database=database,
            tokens=make_tokens(settings),
            limits=make_rate_limits(settings, database),
            mailer=make_mailer(settings),
            jobs=InProcessEngine([job for m in modules for job in m.jobs]),
        )
        runtime.jobs.attach(runtime)
        return runtime

    async def close(self) -> None:
        """Finish the jobs under way, then let go of all connections."""
        await self.jobs.close()
        await self.mailer.close()
        await self.database.close()

    @property
    def authenticate(self) -> Authenticate | None:
        return next((m.authenticate for m in self.modules if m.authenticate), None)


def make_database(settings: Settings) -> Database:
    return Database(
        settings.resolved_database_url,
        cursor_key=settings.key_for("list cursors"),
        pool_size=settings.pool_size,
        pool_timeout=settings.pool_timeout,
        transaction_pooler=settings.transaction_pooler,
    )


def make_tokens(settings: Settings) -> AccessTokens:
    return AccessTokens(
        settings.key_for("access tokens"),
        issuer=settings.token_issuer,
        lifetime=settings.access_token_lifetime,
    )


def make_rate_limits(settings: Settings, database: Database) -> Limits:
    return make_limits(
        database,
        redis_url=settings.redis_url and settings.redis_url.get_secret_value(),
        enabled=settings.rate_limits_enabled,
    )


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime

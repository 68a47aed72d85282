"""What one running application consists of, besides its routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from bedplate.config import Settings
from bedplate.core.security import AccessTokens
from bedplate.database import Database
from bedplate.jobs import Promises
from bedplate.mail import Mailer, make_mailer
from bedplate.module import Authenticate, Module


@dataclass(frozen=True)
class Runtime:
    """Made once by `create_app`, the command line or a worker; holds no request."""

    settings: Settings
    modules: Sequence[Module]
    database: Database
    tokens: AccessTokens
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
            mailer=make_mailer(settings),
            jobs=Promises(database, [job for m in modules for job in m.jobs]),
        )

    async def close(self) -> None:
        """Let go of all connections."""
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


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime

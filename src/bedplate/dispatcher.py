"""Dispatches requests to FastAPI or Django by their path.

Not by `app.mount`: a mount changes `root_path`, and with it the URLs that Django
builds. Django is imported on the first request for it, so an application whose admin
site is never opened doesn't pay for it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

import structlog
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.config import SettingsError
from bedplate.core.errors import NotFound, ServiceUnavailable
from bedplate.django_site.column_types import check_columns
from bedplate.django_site.settings import is_djangos
from bedplate.loader import load_app
from bedplate.middleware.error_response import render
from bedplate.middleware.request import RequestMiddleware
from bedplate.migrate import SchemaError
from bedplate.module import Module
from bedplate.runtime import Runtime
from bedplate.worker import running

logger = structlog.get_logger()


def django_is_installed() -> bool:
    """Return whether the packages of `bedplate[django]` are installed."""
    return find_spec("django") is not None and find_spec("rest_framework") is not None


def require_django() -> None:
    """Check that Django is installed.

    Raises:
        SettingsError: it isn't.
    """
    if not django_is_installed():
        raise SettingsError("Django is not installed. Install bedplate[django].")


def with_django(app: FastAPI) -> ASGIApp:
    """Return the application with the admin site and the REST framework beside it.

    Without the extra `django`, return the application unchanged.

    Raises:
        ModuleError: no Django field can store a column's type.
    """
    if not django_is_installed():
        return app
    check_columns(app.state.modules)
    return Dispatcher(app)


class Dispatcher:
    """The FastAPI application and Django, each serving its own paths."""

    def __init__(self, app: FastAPI) -> None:
        self.django = LazyDjango(app.state.runtime, app.state.modules)
        self.state = app.state
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_djangos(scope["path"]):
            await self.django(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class LazyDjango:
    """Django behind our request middleware, loaded by the first request for it."""

    def __init__(self, runtime: Runtime, modules: Sequence[Module]) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._modules = modules
        # Taken from the settings: behind a proxy that ends TLS, the last hop to us is
        # plain HTTP.
        self._scheme = {"scheme": "https"} if settings.is_https else {}
        self._site: ASGIApp | None = None
        self._loading = asyncio.Lock()
        self._middleware = RequestMiddleware(self._handle, settings=settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # One metrics series for all of Django's paths, instead of one for each row.
        template = f"/{scope['path'].split('/', 2)[1]}/{{path}}"
        await self._middleware(
            {**scope, **self._scheme, "template": template}, receive, send
        )

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            site = self._site or await self.load()
        except (SchemaError, ServiceUnavailable) as error:
            logger.error("django", problem=str(error))  # noqa: TRY400, not a bug
            await render(ServiceUnavailable())(scope, receive, send)
        else:
            await site(scope, receive, send)

    def use(self, site: ASGIApp) -> None:
        """Serve a site that is already loaded."""
        self._site = site

    async def load(self) -> ASGIApp:
        """Load Django on the first call, and return it.

        Raises:
            SchemaError: on PostgreSQL, Django's own tables are not at head.
            ServiceUnavailable: the database is unavailable.
        """
        # Locked: the first requests may arrive together.
        async with self._loading:
            if self._site is None:
                # In a thread, because importing Django takes about a second.
                name = "bedplate.django_site.asgi"
                module = await asyncio.to_thread(import_module, name)
                self._site = await module.load(self._runtime, self._modules)
        return self._site


def django_only() -> ASGIApp:
    """Return Django as an application of its own, for ASGI servers that take a factory.

    Raises:
        SettingsError: a setting is wrong, or Django isn't installed.
    """
    require_django()
    return _DjangoOnly(load_app())


async def _answer_not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await render(NotFound())(scope, receive, send)


class _DjangoOnly:
    """Django, plus the application's health checks and metrics for operators."""

    def __init__(self, app: FastAPI) -> None:
        runtime: Runtime = app.state.runtime
        django = self._django = LazyDjango(runtime, app.state.modules)
        self.state = app.state
        self._operations = app
        self._not_found = RequestMiddleware(
            _answer_not_found, settings=runtime.settings
        )

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            async with running(runtime):
                await django.load()
                yield

        self._lifespan = Starlette(lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif is_djangos(scope["path"]):
            await self._django(scope, receive, send)
        elif scope["path"].startswith(("/health/", "/metrics")):
            await self._operations(scope, receive, send)
        else:
            await self._not_found(scope, receive, send)

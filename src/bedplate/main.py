"""`create_app` and `install`: put settings and modules together. No rules live here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.datastructures import State
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.api.compiled import CompiledRouter, RouteTable
from bedplate.api.docs import install_docs
from bedplate.api.error_handlers import install_error_handlers
from bedplate.api.health import router as health_router
from bedplate.api.idempotency import store_error
from bedplate.api.openapi import openapi_document
from bedplate.config import Settings
from bedplate.database.query import compile_declared
from bedplate.log import log_as_configured
from bedplate.middleware.request import RequestMiddleware
from bedplate.module import Module, check_modules
from bedplate.runtime import Runtime
from bedplate.worker import running

API_PREFIX = "/api/v1"


_EXPOSED = ["ETag", "Idempotent-Replayed", "Location", "Retry-After", "X-Request-ID"]


class Application(FastAPI):
    """FastAPI, inside `RequestMiddleware` and with compiled routes.

    With the setting `compiled_routes` off, FastAPI's own stack runs the routes,
    telemetry included, inside the same middleware.
    """

    def __init__(self, runtime: Runtime, **options: Any) -> None:
        super().__init__(openapi_url=None, redirect_slashes=False, **options)
        self.state.runtime = runtime

    def build_middleware_stack(self) -> ASGIApp:
        settings: Settings = self.state.runtime.settings
        compiled = settings.compiled_routes
        stack = self._table_stack() if compiled else super().build_middleware_stack()
        return _with_request_middleware(stack, state=self.state)

    def _table_stack(self) -> ASGIApp:
        # A bug is not answered inside a route: `CompiledRouter` does that, as FastAPI's
        # own stack does it outside of everything.
        handlers: dict[Any, Any] = {
            key: handler
            for key, handler in self.exception_handlers.items()
            if key not in (500, Exception)
        }
        fallback: ASGIApp = AsyncExitStackMiddleware(self.router)
        fallback = ExceptionMiddleware(fallback, handlers=handlers)
        app: ASGIApp = CompiledRouter(self, self.state.route_table(), fallback)
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        return _cached_document(self)


def create_app(
    settings: Settings | None = None,
    modules: Sequence[Module] | None = None,
    *,
    title: str = "Bedplate",
) -> Application:
    """Create an application from modules, on the database of its settings.

    `title` is shown in its documentation. Without `settings` they come from the
    environment.

    Raises:
        SettingsError: a setting is wrong.
        ModuleError: the modules don't fit together.
        TypeError: a query has no SQL for the database.
    """
    modules = built_in_modules() if modules is None else modules
    runtime = _make_runtime(settings, modules)
    app = Application(
        runtime,
        title=title,
        version=version("bedplate"),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_modules(app, modules)
    install_docs(app)
    app.add_middleware(_with_cors, state=app.state)
    return app


def built_in_modules() -> Sequence[Module]:
    """Return the modules of an application that lists none: the core and posts."""
    # By its name: it stands above this file, as the modules of a project do.
    built_in: Sequence[Module] = import_module("bedplate.example").BUILT_IN
    return built_in


def install(
    app: FastAPI,
    settings: Settings | None = None,
    modules: Sequence[Module] | None = None,
) -> None:
    """Install Bedplate into your own FastAPI application, before it starts.

    Your routes can then use `CurrentUser` and `SessionDep`, errors come in the
    envelope, and the OpenAPI document has every error. Your application keeps its own
    stack: FastAPI's handler runs all routes, and CORS is yours to add.

    Raises:
        SettingsError: a setting is wrong.
        ModuleError: the modules don't fit together.
        TypeError: a query has no SQL for the database.
    """
    modules = built_in_modules() if modules is None else modules
    app.state.runtime = _make_runtime(settings, modules)
    _add_modules(app, modules)
    app.add_middleware(_with_request_middleware, state=app.state)
    app.openapi = partial(_cached_document, app)  # type: ignore[method-assign]
    app_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[Any]:
        async with _lifespan(app), app_lifespan(app) as state:
            yield state

    app.router.lifespan_context = both


def bind(app: FastAPI, settings: Settings) -> None:
    """Replace the settings, and so the database, of an application that isn't running.

    Its modules, routes, middleware and title stay.

    Raises:
        SettingsError: a setting is wrong.
    """
    app.state.runtime = _make_runtime(settings, app.state.modules)
    app.state.route_table = cache(partial(RouteTable, app))
    app.middleware_stack = app.openapi_schema = None


def _cached_document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi_document(app)
    return app.openapi_schema


def _make_runtime(settings: Settings | None, modules: Sequence[Module]) -> Runtime:
    settings = settings or Settings.load()
    check_modules(modules)
    log_as_configured(settings)
    runtime = Runtime.make(settings, modules)
    compile_declared(runtime.database.dialect)
    return runtime


def _add_modules(app: FastAPI, modules: Sequence[Module]) -> None:
    app.state.modules = tuple(modules)
    # Built at the first request, when every route is there.
    app.state.route_table = cache(partial(RouteTable, app))
    install_error_handlers(app, store_error)
    app.include_router(health_router)
    for module in modules:
        if module.router is not None:
            app.include_router(module.router, prefix=API_PREFIX)
        if module.pages is not None:
            app.include_router(module.pages)


# These are built with the stack, not with the application, so that `bind` can change
# the settings.


def _with_request_middleware(app: ASGIApp, *, state: State) -> ASGIApp:
    return RequestMiddleware(app, settings=state.runtime.settings)


def _with_cors(app: ASGIApp, *, state: State) -> ASGIApp:
    settings: Settings = state.runtime.settings
    if not settings.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(settings.cors_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running(app.state.runtime):
        yield

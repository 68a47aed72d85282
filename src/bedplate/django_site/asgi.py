"""Django and its static files as one ASGI application."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

from django.core.asgi import get_asgi_application
from django.db import DatabaseError, OperationalError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.core.errors import NotFound, ServiceUnavailable
from bedplate.django_site.services import Host, attach
from bedplate.django_site.settings import STATIC_URL
from bedplate.django_site.setup import is_at_head, set_up, upgrade
from bedplate.middleware.error_response import render
from bedplate.middleware.request import BodyTooLarge
from bedplate.migrate import SchemaError
from bedplate.module import Module
from bedplate.runtime import Runtime

# The packages with static files, and their folders.
_STATIC = (
    ("django.contrib.admin", "static"),
    ("drf_spectacular_sidecar", "static"),
    ("bedplate.django_site", "static"),
)


async def load(runtime: Runtime, modules: Sequence[Module]) -> ASGIApp:
    """Load Django on a runtime of the running event loop. This takes about a second.

    Raises:
        SchemaError: on PostgreSQL, Django's own tables are not at head.
        ServiceUnavailable: the database is unavailable.
    """
    attach(Host(runtime, asyncio.get_running_loop()))
    try:
        await asyncio.to_thread(_prepare, runtime, modules)
    except OperationalError as error:
        raise ServiceUnavailable from error
    return Site()


def _prepare(runtime: Runtime, modules: Sequence[Module]) -> None:
    set_up(runtime.settings, modules)
    if not is_at_head():
        _bring_to_head(runtime)
    gc.freeze()  # as `bedplate.asgi` does after start-up


def _bring_to_head(runtime: Runtime) -> None:
    if not runtime.database.is_sqlite:
        raise SchemaError("Django's tables are not at head. Run `bedplate migrate`.")
    # Several processes may migrate the same file at the same time and collide.
    for last_try in (False,) * 4 + (True,):
        try:
            upgrade()
        except DatabaseError:
            if last_try:
                raise
        else:
            return


class Site:
    """Django and its static files. Django must be set up before."""

    def __init__(self) -> None:
        self._django: Any = get_asgi_application()
        self._static = StaticFiles(packages=list(_STATIC))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(STATIC_URL):
            await self._serve(scope, receive, _lower_case(send))
            return
        below = {**scope, "path": "/" + scope["path"].removeprefix(STATIC_URL)}
        try:
            await self._static(below, receive, send)
        except HTTPException:
            await render(NotFound())(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. Turn a body that is too large into a disconnect.

        On a disconnect Django closes its temporary file. Then the error is raised.
        """
        errors: list[BodyTooLarge] = []

        async def receive_or_disconnect() -> Message:
            try:
                return await receive()
            except BodyTooLarge as error:
                errors.append(error)
                return {"type": "http.disconnect"}

        await self._django(scope, receive_or_disconnect, send)
        for error in errors:
            raise error


def _lower_case(send: Send) -> Send:
    """Return a `send` that writes header names in lower case, as ASGI requires."""

    async def send_lower_case(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await send(message)

    return send_lower_case

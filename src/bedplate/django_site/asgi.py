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

# Where the apps that have any keep what browsers load.
_STATIC = (
    ("django.contrib.admin", "static"),
    ("drf_spectacular_sidecar", "static"),
    ("bedplate.django_site", "static"),
)


async def load(runtime: Runtime, modules: Sequence[Module]) -> ASGIApp:
    """Django on this runtime, whose loop is the running one; takes a second.

    Raises:
        SchemaError: on PostgreSQL, Django's own tables are not at head.
        ServiceUnavailable: the database can't be asked.
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
    gc.freeze()  # as `bedplate.asgi` does with what was there before


def _bring_to_head(runtime: Runtime) -> None:
    if not runtime.database.is_sqlite:
        told = "Django's tables are not at head: run `bedplate migrate` first"
        raise SchemaError(told)
    for last_try in (False,) * 4 + (True,):
        try:
            upgrade()
        except DatabaseError:
            if last_try:
                raise
        else:
            return  # another process may have been at it too, with which it collided


class Site:
    """Django and its static files. Django is set up before."""

    def __init__(self) -> None:
        self._django: Any = get_asgi_application()
        self._static = StaticFiles(packages=list(_STATIC))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(STATIC_URL):
            await self._answer(scope, receive, _lower_case(send))
            return
        below = {**scope, "path": "/" + scope["path"].removeprefix(STATIC_URL)}
        try:
            await self._static(below, receive, send)
        except HTTPException:
            await render(NotFound())(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body that grows too large ends like a caller who goes away: Django closes
        its file, and the refusal is raised after it.
        """
        refusals: list[BodyTooLarge] = []

        async def received() -> Message:
            try:
                return await receive()
            except BodyTooLarge as error:
                refusals.append(error)
                return {"type": "http.disconnect"}

        await self._django(scope, received, send)
        for refusal in refusals:
            raise refusal


def _lower_case(send: Send) -> Send:
    """Names of headers as ASGI wants them."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await send(message)

    return sent

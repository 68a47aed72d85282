"""Django in tests: once a process, on the database of the current test."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.db import connections
from django.db.backends.signals import connection_created
from starlette.types import ASGIApp

from bedplate.config import Settings
from bedplate.dispatcher import Dispatcher
from bedplate.django_site.asgi import Site
from bedplate.django_site.conf import APP, bedplate_settings
from bedplate.django_site.services import Host, attach
from bedplate.django_site.settings import django_settings as make_django_settings
from bedplate.django_site.setup import disconnect, set_up, upgrade
from bedplate.jobs.tables import ENGINE_SCHEMA, ENGINE_TABLES
from bedplate.main import Application
from bedplate.module import Module


def point_at(settings: Settings, modules: Sequence[Module]) -> None:
    """Let Django's ORM use the database of these settings from now on.

    Django is set up once in a process, so all tests get the first test's modules.
    """
    set_up(settings, modules)
    forget()
    values = make_django_settings(settings, modules)
    for name in ("ALLOWED_HOSTS", "BEDPLATE", "SECRET_KEY"):
        setattr(django_settings, name, values[name])
    bedplate_settings.cache_clear()
    connections.settings |= connections.configure_settings(values["DATABASES"])
    _move_engine_tables(settings.resolved_database_url.drivername)


def _move_engine_tables(dialect: str) -> None:
    """Set the schema of the job engine's tables, which differs by the database.

    The models are made only once in a process.
    """
    for model in apps.get_app_config(APP).get_models():
        meta = model._meta  # noqa: SLF001, public
        table = meta.db_table.rpartition(".")[2].strip('"')
        if table in ENGINE_TABLES:
            is_elsewhere = dialect == "postgresql"
            table = f'"{ENGINE_SCHEMA}"."{table}"' if is_elsewhere else table
            meta.db_table = table
            for field in meta.fields:
                # Django caches the column with its table in the field.
                field.__dict__.pop("cached_col", None)


def migrate_django(settings: Settings, modules: Sequence[Module]) -> None:
    """Bring Django's own tables to head."""
    point_at(settings, modules)
    upgrade()
    forget()


def forget() -> None:
    """Close this thread's connection, and the pool of all threads."""
    disconnect()
    del connections["default"]


class WrittenByDjango(AssertionError):
    """Django would write to a table that only services may write to."""


def _forbid_writes(connection: Any, **_: Any) -> None:
    tables = {model._meta.db_table for model in apps.get_app_config(APP).get_models()}  # noqa: SLF001, public

    def check(execute: Any, sql: str, *rest: Any) -> Any:
        match = re.match(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?([^" ]+)"?', sql)
        if match and match[1] in tables:
            raise WrittenByDjango(sql.partition("VALUES")[0])
        return execute(sql, *rest)

    connection.execute_wrappers.append(check)


@asynccontextmanager
async def beside(app: Application) -> AsyncIterator[ASGIApp]:
    """Yield an application with Django, which may only read our tables."""
    runtime = app.state.runtime
    attach(Host(runtime, asyncio.get_running_loop()))
    # In threads, because Django's ORM is for sync code.
    await asyncio.to_thread(point_at, runtime.settings, app.state.modules)
    dispatcher = Dispatcher(app)
    dispatcher.django.use(Site())
    connection_created.connect(_forbid_writes)
    try:
        yield dispatcher
    finally:
        connection_created.disconnect(_forbid_writes)
        await asyncio.to_thread(forget)
        attach(None)

"""Starts Django with our settings, and brings its own tables to head."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import django
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from bedplate.config import Settings
from bedplate.django_site.settings import django_settings as made_of
from bedplate.module import Module


def set_up(settings: Settings, modules: Sequence[Module]) -> None:
    """Configure and load Django, once in a process; where it is set up, nothing.

    Raises:
        ImproperlyConfigured: a module's tables can't be Django models.
    """
    if not django_settings.configured:
        django_settings.configure(**made_of(settings, modules))
    if not apps.ready:
        django.setup()


def is_at_head() -> bool:
    """Whether all of Django's own migrations, and its other apps', were run."""
    with _connected():
        return not _missing()


def upgrade() -> list[str]:
    """Run the migrations of Django's own tables that are missing; return which."""
    with _connected():
        missing = _missing()
        call_command("migrate", interactive=False, verbosity=0)
    return missing


def _missing() -> list[str]:
    executor = MigrationExecutor(connections["default"])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _ in plan]


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    finally:
        disconnect()


def disconnect() -> None:
    """Close what Django does not: it sees to the connections of requests only."""
    connection: Any = connections["default"]
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()

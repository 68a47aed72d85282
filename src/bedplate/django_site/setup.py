"""Starts Django with our settings, and migrates its own tables."""

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
from bedplate.django_site.settings import django_settings as make_django_settings
from bedplate.module import Module


def set_up(settings: Settings, modules: Sequence[Module]) -> None:
    """Configure and load Django, unless this process has already done so.

    Raises:
        ImproperlyConfigured: a module's tables can't be Django models.
    """
    if not django_settings.configured:
        django_settings.configure(**make_django_settings(settings, modules))
    if not apps.ready:
        django.setup()


def is_at_head() -> bool:
    """Return whether all migrations of Django and its other apps were run."""
    with _connected():
        return not _missing()


def upgrade() -> list[str]:
    """Run the missing migrations of Django's own tables, and return their names."""
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
    """Close the connection and the pool. Django only closes those of requests."""
    connection: Any = connections["default"]
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()

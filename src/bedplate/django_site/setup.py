"""Starts Django with our settings, and brings its own tables to head."""

from collections.abc import Sequence

import django
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
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
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes()
    return not executor.migration_plan(targets)


def upgrade() -> None:
    """Run the migrations of Django's own tables that are missing."""
    call_command("migrate", interactive=False, verbosity=0)

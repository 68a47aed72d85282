"""A Django project's settings for Bedplate: `BEDPLATE` and `BEDPLATE_MODULES`."""

from collections.abc import Sequence
from functools import cache

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from bedplate.config import Settings
from bedplate.module import Module, check_modules

APP = "bedplate"
"""The label of our Django app."""

BUILT_IN = "bedplate.example.BUILT_IN"


@cache
def bedplate_settings() -> Settings:
    """Return `BEDPLATE`, a `Settings`; by default from the environment.

    Raises:
        SettingsError: a value in the environment is wrong.
    """
    value = getattr(django_settings, "BEDPLATE", None)
    return value if isinstance(value, Settings) else Settings.load()


@cache
def installed_modules() -> Sequence[Module]:
    """Return `BEDPLATE_MODULES`, modules or their import path; else the built-in ones.

    Raises:
        ModuleError: they don't fit together.
    """
    value = getattr(django_settings, "BEDPLATE_MODULES", BUILT_IN)
    modules: Sequence[Module] = (
        import_string(value) if isinstance(value, str) else value
    )
    check_modules(modules)
    return modules


def dialect() -> str:
    """Return the kind of database: `sqlite` or `postgresql`."""
    return bedplate_settings().resolved_database_url.drivername

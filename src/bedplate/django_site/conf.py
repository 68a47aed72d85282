"""What a Django project says of Bedplate in its settings: `BEDPLATE…`."""

from collections.abc import Sequence
from functools import cache

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from bedplate.config import Settings
from bedplate.module import Module, check_modules

APP = "bedplate"
"""The label of our Django app."""

BUILT_IN = "bedplate.modules.BUILT_IN"


@cache
def bedplate_settings() -> Settings:
    """`BEDPLATE`, a `Settings`; by default what the environment says.

    Raises:
        SettingsError: the environment is wrong.
    """
    given = getattr(django_settings, "BEDPLATE", None)
    return given if isinstance(given, Settings) else Settings.load()


@cache
def installed_modules() -> Sequence[Module]:
    """`BEDPLATE_MODULES`, or where they are; by default the built-in ones.

    Raises:
        ModuleError: they don't fit together.
    """
    given = getattr(django_settings, "BEDPLATE_MODULES", BUILT_IN)
    modules: Sequence[Module] = (
        import_string(given) if isinstance(given, str) else given
    )
    check_modules(modules)
    return modules


def dialect() -> str:
    """The kind of database: `sqlite` or `postgresql`."""
    return bedplate_settings().resolved_database_url.drivername

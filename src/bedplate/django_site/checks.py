"""Django system checks of a project's settings.

They are warnings: without these settings, access is refused.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as Caution

from bedplate.django_site.middleware import SignedInMiddleware

_MIDDLEWARE = f"{SignedInMiddleware.__module__}.{SignedInMiddleware.__name__}"


def check_project(**_: Any) -> list[CheckMessage]:
    return list(_problems())


def _problems() -> Iterator[CheckMessage]:
    if settings.AUTH_USER_MODEL != "bedplate.User":
        hint = 'Set AUTH_USER_MODEL = "bedplate.User".'
        message = "AUTH_USER_MODEL is not Bedplate's, so nobody can use the admin site."
        yield Caution(message, hint=hint, id="bedplate.W001")
    if _MIDDLEWARE not in settings.MIDDLEWARE:
        hint = f"Replace Django's AuthenticationMiddleware with {_MIDDLEWARE}."
        message = "Sessions that Bedplate started are not recognized."
        yield Caution(message, hint=hint, id="bedplate.W002")

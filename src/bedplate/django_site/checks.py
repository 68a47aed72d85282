"""What a project forgot to set; it fails closed, so it may run without."""

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
        hint = 'set AUTH_USER_MODEL = "bedplate.User"'
        told = "Django's users are not Bedplate's, so Bedplate's admin is shut."
        yield Caution(told, hint=hint, id="bedplate.W001")
    if _MIDDLEWARE not in settings.MIDDLEWARE:
        hint = f"put {_MIDDLEWARE} in the place of Django's AuthenticationMiddleware"
        told = "Nobody is signed in who signed in by Bedplate."
        yield Caution(told, hint=hint, id="bedplate.W002")

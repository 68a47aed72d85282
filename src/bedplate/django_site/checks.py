"""What a project has to set; without it anything else would be a guess."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from bedplate.django_site.middleware import SignedInMiddleware

_MIDDLEWARE = f"{SignedInMiddleware.__module__}.{SignedInMiddleware.__name__}"


def check_project(**_: Any) -> list[CheckMessage]:
    return list(_problems())


def _problems() -> Iterator[CheckMessage]:
    if settings.AUTH_USER_MODEL != "bedplate.User":
        hint = 'set AUTH_USER_MODEL = "bedplate.User"'
        yield Error("Django's users are not Bedplate's.", hint=hint, id="bedplate.E001")
    if _MIDDLEWARE not in settings.MIDDLEWARE:
        hint = f"put {_MIDDLEWARE} in the place of Django's AuthenticationMiddleware"
        yield Error("Ended sign-ins would go on.", hint=hint, id="bedplate.E002")

"""Django on the same tables, rules and tokens: models, admin site, REST framework.

Beside FastAPI, the first request for Django loads it. In your own Django project, add
it as an app: `INSTALLED_APPS += ["bedplate.django_site"]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.django_site.api.viewsets import (
        AllowAny,
        IsAdmin,
        IsSignedIn,
        ServiceViewSet,
        ViewSetRouter,
        action,
        requires,
    )
    from bedplate.django_site.asgi import Site
    from bedplate.django_site.authentication import BearerAuthentication
    from bedplate.django_site.models import model_of
    from bedplate.django_site.services import (
        acall_service,
        call_service,
        in_unit_of_work,
    )
    from bedplate.django_site.settings import database

__all__ = [
    "AllowAny",
    "BearerAuthentication",
    "IsAdmin",
    "IsSignedIn",
    "ServiceViewSet",
    "Site",
    "ViewSetRouter",
    "acall_service",
    "action",
    "call_service",
    "database",
    "in_unit_of_work",
    "model_of",
    "requires",
]

_HOMES = {
    "AllowAny": "api.viewsets",
    "IsAdmin": "api.viewsets",
    "IsSignedIn": "api.viewsets",
    "ServiceViewSet": "api.viewsets",
    "ViewSetRouter": "api.viewsets",
    "action": "api.viewsets",
    "requires": "api.viewsets",
    "acall_service": "services",
    "call_service": "services",
    "in_unit_of_work": "services",
    "model_of": "models",
    "BearerAuthentication": "authentication",
    "database": "settings",
    "Site": "asgi",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: most of it needs Django's apps to be loaded.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

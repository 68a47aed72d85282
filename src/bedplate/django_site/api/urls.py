"""The viewsets of every installed module: `path("api/v1/", include(…this file…))`."""

from importlib import import_module

from bedplate.django_site.api.viewsets import Router
from bedplate.django_site.project import installed_modules

router = Router()
for _module in installed_modules():
    if _module.rest is not None:
        router.registry.extend(import_module(_module.rest).router.registry)

urlpatterns = [*router.urls]

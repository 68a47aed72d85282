"""URLs of the viewsets of all installed modules, for `include` in `urls.py`."""

from importlib import import_module
from typing import Any

from django.urls import path
from drf_spectacular.views import SpectacularJSONAPIView

from bedplate.django_site.api.viewsets import AllowAny, ViewSetRouter
from bedplate.django_site.conf import bedplate_settings, installed_modules

_DOCUMENT: dict[str, Any] = {
    "TITLE": "Bedplate",
    # The schemas are Pydantic's, which follow OpenAPI 3.1.
    "OAS_VERSION": "3.1.0",
    # A project documents its other views itself.
    "PREPROCESSING_HOOKS": ["bedplate.django_site.api.viewsets.only_viewsets"],
    "POSTPROCESSING_HOOKS": [],
}

router = ViewSetRouter()
for _module in installed_modules():
    if _module.rest is not None:
        router.registry.extend(import_module(_module.rest).router.registry)

urlpatterns = [*router.urls]
if bedplate_settings().docs:
    document = SpectacularJSONAPIView.as_view(
        authentication_classes=[],
        permission_classes=[AllowAny],
        custom_settings=_DOCUMENT,
    )
    urlpatterns.append(path("schema", document, name="schema"))

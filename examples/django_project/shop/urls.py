from django.contrib import admin
from django.urls import include, path

from shop.views import baskets, whoami

urlpatterns = [
    path("admin/", admin.site.urls),
    path("whoami/", whoami),
    path("baskets/", baskets),
    path("api/v1/", include("bedplate.django_site.api.urls")),  # Bedplate
]

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("django/api/v1/", include("bedplate.django_site.api.urls")),
]
handler400 = "bedplate.django_site.api.exception_handler.bad_request"
handler404 = "bedplate.django_site.api.exception_handler.not_found"
handler500 = "bedplate.django_site.api.exception_handler.server_error"

from django.contrib import admin
from django.urls import path

from shop.views import baskets, whoami

urlpatterns = [
    path("admin/", admin.site.urls),
    path("whoami/", whoami),
    path("baskets/", baskets),
]

from django.apps import AppConfig, apps
from django.contrib import admin
from django.contrib.admin import apps as admin_apps
from django.core.checks import register


class BedplateConfig(AppConfig):
    """The models of every module. Without migrations: Alembic owns the tables."""

    name = "bedplate.django_site"
    label = "bedplate"
    verbose_name = "Bedplate"
    default = True

    def ready(self) -> None:
        from bedplate.django_site import signals
        from bedplate.django_site.checks import check_project

        signals.connect()
        register(check_project)


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin with our site as the default site."""

    default = False
    default_site = "bedplate.django_site.site.BedplateAdminSite"

    def ready(self) -> None:
        super().ready()
        # Roles replace groups.
        admin.site.unregister(apps.get_model("auth", "Group"))

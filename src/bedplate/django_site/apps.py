from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.core.checks import register


class BedplateConfig(AppConfig):
    """The models of every module. It has no migrations: the tables are Alembic's."""

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
    """Django's admin with our site as its default one."""

    default = False
    default_site = "bedplate.django_site.admin.site.BedplateAdminSite"

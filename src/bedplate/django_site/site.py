"""The admin site: sign-in by email, and a front page with stats."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from bedplate.admin import Stat


class Tile(NamedTuple):
    """A stat on the front page, with its count."""

    label: str
    value: int
    url: str
    is_alarming: bool


class BedplateAdminSite(AdminSite):
    """Django's admin with our sign-in, front page and look."""

    site_header = "Bedplate"
    site_title = "Bedplate"
    index_title = "Overview"
    index_template = "bedplate/index.html"
    site_url = None

    def login(self, request: Any, extra_context: Any = None) -> Any:
        from bedplate.django_site.admin.sign_in import SignInForm

        self.login_form = SignInForm
        return super().login(request, extra_context)

    def index(self, request: Any, extra_context: Any = None) -> Any:
        context = {"tiles": list(self._tiles(request)), **(extra_context or {})}
        return super().index(request, context)

    def password_change(self, request: Any, extra_context: Any = None) -> Any:
        """Change the password by the service, which ends the user's other sessions."""
        from bedplate.django_site.admin.sign_in import PasswordForm

        form = PasswordForm(request.user.caller, request.POST or None)
        if request.method == "POST" and form.is_valid():
            messages.success(request, "Your password was changed.")
            return HttpResponseRedirect(reverse("admin:index"))
        title = {"title": "Change your password", "form": form}
        context = {**self.each_context(request), **title, **(extra_context or {})}
        return TemplateResponse(request, "bedplate/password.html", context)

    def _tiles(self, request: Any) -> Iterator[Tile]:
        for model, admin in self._registry.items():
            declaration = getattr(admin, "declaration", None)
            if not admin.has_view_permission(request):
                continue
            for stat in getattr(declaration, "stats", ()):
                yield _tile(model, admin.get_queryset(request), stat)

    def get_app_list(self, request: Any, app_label: str | None = None) -> Any:
        """Group our models by their module. Other apps stay as they are."""
        apps = super().get_app_list(request, app_label)
        own_apps = [app for app in apps if app["app_label"] == "bedplate"]
        other_apps = [app for app in apps if app["app_label"] != "bedplate"]
        return [
            *(group for app in own_apps for group in self._groups(app)),
            *other_apps,
        ]

    def _groups(self, app: Any) -> Iterator[Any]:
        entries = {entry["model"]: entry for entry in app["models"]}
        groups: dict[str, list[Any]] = {}
        for model, admin in self._registry.items():  # in the order of the modules
            if model in entries:
                group = getattr(admin, "group", app["name"])
                groups.setdefault(group, []).append(entries[model])
        for name, models in groups.items():
            url = models[0]["admin_url"]
            yield {**app, "name": name.capitalize(), "app_url": url, "models": models}


def _tile(model: Any, rows: Any, stat: Stat) -> Tile:
    only = {k: v() if callable(v) else v for k, v in stat.only.items()}
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"  # noqa: SLF001, public
    query = urlencode({key: _in_url(value) for key, value in only.items()})
    url = f"{reverse(name)}?{query}" if only else reverse(name)
    count = rows.filter(**only).count()
    return Tile(stat.label, count, url, stat.is_alarming and count > 0)


def _in_url(value: Any) -> Any:
    """Return a value as in the URL of a filter: several values separated by commas."""
    return ",".join(value) if isinstance(value, tuple | list) else value

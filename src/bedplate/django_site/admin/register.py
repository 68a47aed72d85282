"""Registers the models of all modules with the admin site."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import AdminSite

from bedplate.admin import Admin
from bedplate.django_site.admin.model_admin import (
    ServiceModelAdmin,
    detail_column,
    foreign_key_link,
    link_to,
)
from bedplate.django_site.bridge import make_model, secrets_of
from bedplate.module import Module

_DEFAULT_COLUMNS = 5


def register(site: AdminSite, modules: Sequence[Module], dialect: str) -> None:
    """Register the modules' models: as declared, or read-only without a declaration."""
    models = [(a, g, _model(a, dialect)) for a, g in _declared(modules, dialect)]
    searchable = {model for admin, _, model in models if admin.search}
    for admin, group, model in models:
        if not model._meta.is_composite_pk:  # noqa: SLF001, Django's admin doesn't support it
            options = _options(admin, model, admin.mapped(dialect), searchable)
            options |= {"declaration": admin, "group": group}
            site.register(
                model, type(f"{model.__name__}Admin", (ServiceModelAdmin,), options)
            )


def _declared(modules: Sequence[Module], dialect: str) -> Iterator[tuple[Admin, str]]:
    """Yield each model's declaration and its module's name, the last module's first."""
    owners: dict[Any, str] = {
        mapped: module.name for module in modules for mapped in module.models
    }
    declared = {admin.mapped(dialect) for module in modules for admin in module.admin}
    for module in reversed(modules):
        for admin in module.admin:
            yield admin, owners.get(admin.mapped(dialect), module.name)
        for mapped in module.models:
            if mapped not in declared:
                yield Admin(mapped), module.name


def _model(admin: Admin, dialect: str) -> Any:
    return make_model(admin.mapped(dialect), name=admin.name)


def _options(
    admin: Admin, model: Any, mapped: Any, searchable: set[Any]
) -> dict[str, Any]:
    """Return the attributes of the `ModelAdmin`."""
    fields = {field.name: field for field in model._meta.concrete_fields}  # noqa: SLF001, public
    relations = [name for name, field in fields.items() if field.is_relation]
    links = {
        f"link_{name}": link_to(name, target, fields[name].verbose_name)
        for name, target in admin.links.items()
    } | {
        f"link_{name}": foreign_key_link(
            name, fields[name].related_model, fields[name].verbose_name
        )
        for name in relations
    }
    details = {
        f"detail_{label.lower()}": detail_column(label) for label in admin.list_details
    }
    visible = [name for name in fields if name not in secrets_of(mapped)]
    columns = list(admin.list_display or visible[:_DEFAULT_COLUMNS])

    def as_link(name: str) -> str:
        return f"link_{name}" if f"link_{name}" in links else name

    return {
        **links,
        **details,
        "mapped": mapped,
        # The first column links to the row's own page, so it can't link elsewhere.
        "list_display": [
            columns[0],
            *details,
            *(as_link(name) for name in columns[1:]),
        ],
        "list_filter": list(admin.list_filter),
        "list_select_related": [name for name in columns if name in relations] or False,
        "search_fields": [f"{name}__icontains" for name in admin.search],
        "ordering": list(admin.ordering) or ["-pk"],
        "autocomplete_fields": [
            name for name in relations if fields[name].related_model in searchable
        ],
    }

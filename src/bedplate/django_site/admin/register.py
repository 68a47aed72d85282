"""Every model of every module gets its place in the admin site."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import AdminSite

from bedplate.admin import Admin
from bedplate.django_site.admin.model_admin import (
    ServiceModelAdmin,
    foreign_key_link,
    link_to,
    told,
)
from bedplate.django_site.bridge import make_model, secrets_of
from bedplate.module import Module

_FEW = 5


def register(site: AdminSite, modules: Sequence[Module], dialect: str) -> None:
    """Put these modules' models on a site: as declared, or to be looked at."""
    made = [(a, g, _model(a, dialect)) for a, g in _declared(modules, dialect)]
    searchable = {model for admin, _, model in made if admin.search}
    for admin, group, model in made:
        if not model._meta.is_composite_pk:  # noqa: SLF001, Django's admin can't
            options = _options(admin, model, admin.mapped(dialect), searchable)
            options |= {"declaration": admin, "group": group}
            site.register(
                model, type(f"{model.__name__}Admin", (ServiceModelAdmin,), options)
            )


def _declared(modules: Sequence[Module], dialect: str) -> Iterator[tuple[Admin, str]]:
    """Each model's declaration and its module's name, the topmost module's first."""
    owners: dict[Any, str] = {
        mapped: module.name for module in modules for mapped in module.models
    }
    shown = {admin.mapped(dialect) for module in modules for admin in module.admin}
    for module in reversed(modules):
        for admin in module.admin:
            yield admin, owners.get(admin.mapped(dialect), module.name)
        for mapped in module.models:
            if mapped not in shown:
                yield Admin(mapped), module.name


def _model(admin: Admin, dialect: str) -> Any:
    return make_model(admin.mapped(dialect), name=admin.name)


def _options(
    admin: Admin, model: Any, mapped: Any, searchable: set[Any]
) -> dict[str, Any]:
    """What Django's `ModelAdmin` wants said."""
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
    more = {f"told_{label.lower()}": told(label) for label in admin.list_details}
    visible = [name for name in fields if name not in secrets_of(mapped)]
    columns = list(admin.list_display or visible[:_FEW])

    def shown(name: str) -> str:
        return f"link_{name}" if f"link_{name}" in links else name

    return {
        **links,
        **more,
        "mapped": mapped,
        # The first leads to the row's own page, so it is no link to another.
        "list_display": [columns[0], *more, *(shown(name) for name in columns[1:])],
        "list_filter": list(admin.list_filter),
        "list_select_related": [name for name in columns if name in relations] or False,
        "search_fields": [f"{name}__icontains" for name in admin.search],
        "ordering": list(admin.ordering) or ["-pk"],
        "autocomplete_fields": [
            name for name in relations if fields[name].related_model in searchable
        ],
    }

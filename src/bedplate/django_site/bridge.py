"""Makes Django models from mapped SQLAlchemy classes, which declare the schema."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapper

from bedplate.django_site.accounts import RENAMED, Account
from bedplate.django_site.conf import APP
from bedplate.django_site.model_fields import make_field, options_of
from bedplate.module import Module
from bedplate.modules.users.models import User

Mapped = type[DeclarativeBase]

_MODULE = "bedplate.django_site.models"
_names: dict[Mapped, str | None] = {}
_models: dict[Mapped, Any] = {}
_proxies: dict[tuple[Mapped, str], Any] = {}

_ON_DELETE = {
    "CASCADE": models.CASCADE,
    "SET NULL": models.SET_NULL,
    "RESTRICT": models.RESTRICT,
}
DO_NOTHING = models.DO_NOTHING


def model_of(mapped: Mapped) -> Any:
    """Return the Django model of a mapped class.

    Raises:
        ImproperlyConfigured: no installed module lists it.
    """
    if mapped not in _models:
        raise ImproperlyConfigured(f"no installed module lists {mapped.__name__}")
    return _models[mapped]


def model_of_table(name: str) -> Any:
    """Return the Django model of a table.

    Raises:
        ImproperlyConfigured: no installed module lists it.
    """
    for model in _models.values():
        if model._meta.db_table == name:  # noqa: SLF001, public
            return model
    raise ImproperlyConfigured(f"no installed module lists the table {name}")


def make_models(modules: Sequence[Module], dialect: str) -> None:
    """Make the model of each class that a module lists or shows in the admin site.

    Raises:
        ImproperlyConfigured: a column's type has no Django field, or a foreign key
            leads to a table without a mapped class. The message names it.
    """
    # All names first: a foreign key refers to its target's model by name.
    admins = [admin for module in modules for admin in module.admin]
    for admin in admins:
        _names.setdefault(admin.mapped(dialect), admin.name)
    for admin in admins:
        make_model(admin.mapped(dialect), name=admin.name)
    for module in modules:
        for mapped in module.models:
            make_model(mapped)


def make_model(mapped: Mapped, *, name: str | None = None) -> Any:
    """Make the Django model of a mapped class, or return the one made before.

    A second name gets a proxy of the first model.
    """
    if mapped not in _models:
        _models[mapped] = _new_model(mapped, _name_of(mapped))
    model = _models[mapped]
    if name in (None, model.__name__):
        return model
    if (mapped, name) not in _proxies:
        meta = type("Meta", (), {"proxy": True, "app_label": APP})
        attributes = {"__module__": _MODULE, "Meta": meta}
        _proxies[mapped, name] = type(name, (model,), attributes)
    return _proxies[mapped, name]


def _name_of(mapped: Mapped) -> str:
    return _names.get(mapped) or mapped.__name__


def _new_model(mapped: Mapped, name: str) -> Any:
    mapper: Mapper[Any] = sa.inspect(mapped)
    attributes = {
        **_fields(mapper),
        **_properties(mapper),
        "__module__": _MODULE,
        "__doc__": mapped.__doc__,
        "__str__": _described,
        "Meta": _meta(mapper),
    }
    return type(name, (Account if mapped is User else models.Model,), attributes)


def _meta(mapper: Mapper[Any]) -> type:
    table = _table(mapper)
    quoted = f'"{table.schema}"."{table.name}"' if table.schema else table.name
    return type("Meta", (), {"managed": False, "db_table": quoted, "app_label": APP})


def _table(mapper: Mapper[Any]) -> sa.Table:
    table = mapper.local_table
    assert isinstance(table, sa.Table)  # a class mapped to a query has no model
    return table


def _fields(mapper: Mapper[Any]) -> dict[str, Any]:
    columns = {a.key: a.columns[0] for a in mapper.column_attrs}
    fields = dict(_field(mapper, columns, key) for key in columns)
    if len(mapper.primary_key) == 1:
        return fields
    # Django allows only one field with `primary_key`.
    for field in fields.values():
        field.primary_key = False
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    return {"pk": models.CompositePrimaryKey(*keys), **fields}


def _properties(mapper: Mapper[Any]) -> dict[str, property]:
    """Return the class's hybrid properties as properties of the Django model."""
    return {
        name: property(descriptor.fget)
        for name, descriptor in mapper.all_orm_descriptors.items()
        if isinstance(descriptor, hybrid_property)
    }


def _field(
    mapper: Mapper[Any], columns: Mapping[str, Any], key: str
) -> tuple[str, Any]:
    column: sa.Column[Any] = columns[key]
    if not column.foreign_keys:
        return _shown_as(mapper, key), make_field(column)
    name = key.removesuffix("_id")
    return key if name in columns else name, _relation(mapper, column, name)


def _shown_as(mapper: Mapper[Any], key: str) -> str:
    return RENAMED.get(key, key) if mapper.class_ is User else key


def _relation(mapper: Mapper[Any], column: sa.Column[Any], name: str) -> Any:
    """Return `author_id` as the relation `author`. Django adds `author_id` itself."""
    foreign_key = next(iter(column.foreign_keys))
    target = _mapper_of(mapper, foreign_key.column)
    options = options_of(column)
    is_unique = options.pop("unique") or options["primary_key"]
    kind = models.OneToOneField if is_unique else models.ForeignKey
    return kind(
        "self" if target is mapper else f"{APP}.{_name_of(target.class_)}",
        on_delete=_ON_DELETE.get((foreign_key.ondelete or "").upper(), DO_NOTHING),
        to_field=target.get_property_by_column(foreign_key.column).key,
        related_name=_related_name(mapper, target, name),
        **options,
    )


def _mapper_of(mapper: Mapper[Any], column: sa.Column[Any]) -> Mapper[Any]:
    for candidate in mapper.registry.mappers:
        if candidate.local_table is column.table:
            return candidate
    where = f"{_table(mapper).name} refers to {column.table.name}"
    raise ImproperlyConfigured(f"{where}, which has no mapped class")


def _related_name(mapper: Mapper[Any], target: Mapper[Any], name: str) -> str | None:
    """Return None for Django's default, unless two relations would share it."""
    tables: list[Any] = [
        key.column.table
        for attribute in mapper.column_attrs
        for key in attribute.columns[0].foreign_keys
    ]
    if tables.count(target.local_table) < 2:  # noqa: PLR2004, a pair
        return None
    return f"{mapper.class_.__name__.lower()}_{name}_set"


_LABELS = ("email", "title", "name", "number", "action", "job")


def label_field(model: Any) -> str:
    """Return the field that labels a row."""
    names = {field.name for field in model._meta.fields}  # noqa: SLF001, public
    return next((name for name in _LABELS if name in names), "pk")


def _described(row: models.Model) -> str:
    return str(getattr(row, label_field(type(row))))


def secrets_of(mapped: Mapped) -> set[str]:
    """Return the fields that are never shown."""
    mapper: Mapper[Any] = sa.inspect(mapped)
    return {
        _shown_as(mapper, attribute.key)
        for attribute in mapper.column_attrs
        if attribute.columns[0].info.get("secret")
    }

"""Makes Django's fields from SQLAlchemy's columns.

Each kind of column is one line in `_MAKERS`; `column_types.py` lists the kinds.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from django.db import models
from django.db.models.functions import Now
from sqlalchemy.dialects import postgresql, sqlite

from bedplate.django_site.column_types import kind_of

Options = dict[str, Any]
MakeField = Callable[[Any, Options], Any]


def make_field(column: sa.Column[Any]) -> Any:
    """Return a field that reads and writes a column as SQLAlchemy does.

    Raises:
        UnknownColumnType: names the column and its type.
    """
    return _maker(column.type, column)(column.type, options_of(column))


def _maker(type_: Any, column: sa.Column[Any]) -> MakeField:
    kind = kind_of(type_, column)
    if kind == "decorated":
        return partial(_decorated, _maker(type_.impl_instance, column))
    return _MAKERS[kind]


def options_of(column: sa.Column[Any]) -> Options:
    """Return the options of a field: column, nullability, keys, names, default."""
    options: Options = {"db_column": column.name, "null": bool(column.nullable)}
    options["blank"] = options["null"]
    options["primary_key"] = column.primary_key
    options["unique"] = bool(column.unique) or _has_unique_constraint(column)
    options |= _names(column)
    options |= _default(column)
    if choices := _checked_choices(column):
        options["choices"] = choices
    return options


def _names(column: sa.Column[Any]) -> Options:
    """Return the names in a column's doc: the label and, after a semicolon, help."""
    label, _, help_text = (column.doc or "").partition(";")
    return {"verbose_name": label.strip() or None, "help_text": help_text.strip()}


def _has_unique_constraint(column: sa.Column[Any]) -> bool:
    return any(
        isinstance(constraint, sa.UniqueConstraint)
        and [*constraint.columns] == [column]
        for constraint in getattr(column.table, "constraints", ())
    )


def _default(column: sa.Column[Any]) -> Options:
    default: Any = column.default
    if default is not None and default.is_scalar:
        return {"default": default.arg}
    if default is not None and default.is_callable:
        return {"default": _CallableDefault(default.arg)}
    server_default: Any = column.server_default
    if isinstance(server_default, sa.DefaultClause):
        return _database_default(server_default.arg)
    return {}


class _CallableDefault:
    """A Python default, which SQLAlchemy has wrapped to take a context."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __call__(self) -> Any:
        return self._make(None)


def _database_default(default: Any) -> Options:
    if isinstance(default, sa.True_ | sa.False_):
        return {"db_default": isinstance(default, sa.True_)}
    if isinstance(default, sa.func.now().__class__):
        return {"db_default": Now()}
    return {"db_default": default} if isinstance(default, str) else {}


_CHECKED = re.compile(r"(?:\w+\.)?\"?(\w+)\"?\s+IN\s+\((.+)\)", re.IGNORECASE)


def _checked_choices(column: sa.Column[Any]) -> list[tuple[str, str]]:
    """Return the values that a constraint like `status IN ('draft', 'sent')` allows."""
    for constraint in getattr(column.table, "constraints", ()):
        if isinstance(constraint, sa.CheckConstraint):
            sql = constraint.sqltext.compile(compile_kwargs={"literal_binds": True})
            match = _CHECKED.fullmatch(str(sql).strip())
            if match and match[1] == column.name:
                texts = re.findall(r"'((?:[^']|'')*)'", match[2])
                return [(t.replace("''", "'"), _label(t)) for t in texts]
    return []


def _label(text: str) -> str:
    return text.replace("_", " ").capitalize()


def _string(type_: sa.String, options: Options) -> Any:
    if type_.length is None:
        return models.TextField(**options)
    return models.CharField(max_length=type_.length, **options)


def _numeric(type_: Any, options: Options) -> Any:
    return models.DecimalField(
        max_digits=type_.precision, decimal_places=type_.scale, **options
    )


class EnumField(models.CharField):  # type: ignore[type-arg]  # no generic at run time
    """A `sa.Enum`: members in Python, and in the database what SQLAlchemy writes."""

    def __init__(self, *args: Any, enum_type: Any, **options: Any) -> None:
        self._type = enum_type
        members = [(self.from_db_value(text), text) for text in enum_type.enums]
        # Forms and URLs hold `str(member)`.
        self._texts = {key: text for m, text in members for key in (m, str(m), text)}
        options["choices"] = [(member, _label(text)) for member, text in members]
        super().__init__(*args, **options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "enum_type": self._type}

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return value if value is None else self._type._object_value_for_elem(value)  # noqa: SLF001, `sa.Enum` has no public method

    def to_python(self, value: Any) -> Any:
        return self.from_db_value(self._texts.get(value, value))

    def get_prep_value(self, value: Any) -> Any:
        return self._texts.get(value, value)

    def value_from_object(self, obj: Any) -> Any:
        value = super().value_from_object(obj)
        return value if value is None else str(value)


def _enum(type_: Any, options: Options) -> Any:
    options.pop("choices", None)  # from a CHECK constraint on the same values
    return EnumField(max_length=type_.length, enum_type=type_, **options)


def _plain(field: type[Any]) -> MakeField:
    return lambda _type, options: field(**options)


_MAKERS: dict[str, MakeField] = {
    "instant": _plain(models.DateTimeField),
    "enum": _enum,
    "string": _string,
    "uuid": _plain(models.UUIDField),
    "boolean": _plain(models.BooleanField),
    "small integer": _plain(models.SmallIntegerField),
    "big integer": _plain(models.BigIntegerField),
    "integer": _plain(models.IntegerField),
    "float": _plain(models.FloatField),
    "decimal": _numeric,
    "date": _plain(models.DateField),
    "json": _plain(models.JSONField),
}


class Decorated(models.Field):  # type: ignore[type-arg]  # no generic at run time
    """A mixin for fields whose values go through a `TypeDecorator`, both ways."""

    decorator: ClassVar["sa.TypeDecorator[Any]"]
    stored: ClassVar[Any]
    """The field for the type inside the decorator."""

    def get_internal_type(self) -> str:
        return str(self.stored.get_internal_type())

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        read = getattr(self.stored, "from_db_value", None)
        value = read(value, expression, connection) if read else value
        dialect = _DIALECTS[connection.vendor]
        return self.decorator.process_result_value(value, dialect)

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_value(
        self, value: Any, connection: Any, prepared: bool = False
    ) -> Any:
        dialect = _DIALECTS[connection.vendor]
        bound = self.decorator.process_bind_param(value, dialect)
        return self.stored.get_db_prep_value(bound, connection)


_DIALECTS: dict[str, sa.Dialect] = {
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(),
}
# Fields for values that are displayed in another form than they are stored in.
_FACES: dict[type, type[Any]] = {
    datetime: models.DateTimeField,
    UUID: models.UUIDField,
}


def _decorated(
    make_stored: MakeField, decorator: "sa.TypeDecorator[Any]", options: Options
) -> Any:
    stored = make_stored(decorator.impl_instance, dict(options))
    face = _FACES.get(decorator.python_type)
    if face is None or isinstance(stored, face):
        _, _, _, options = stored.deconstruct()
        face = type(stored)
    name = f"{type(decorator).__name__}Field"
    parts = {"decorator": decorator, "stored": stored}
    return type(name, (Decorated, face), parts)(**options)

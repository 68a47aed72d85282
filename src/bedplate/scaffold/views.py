"""The fields of a module, in the forms that its templates need."""

import textwrap
from dataclasses import dataclass

import inflection

from bedplate.scaffold.fields import FieldSpec


@dataclass(frozen=True, kw_only=True)
class Target:
    """The model that a field refers to."""

    table: str
    module: str
    entity: str

    @property
    def singular(self) -> str:
        return inflection.underscore(self.entity)


@dataclass(frozen=True, kw_only=True)
class ModuleField(FieldSpec):
    """A field with the source text that the templates write for it."""

    entity: str
    """The class that has the field."""
    target: Target | None = None

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def alias(self) -> str:
        """The name of the type that request bodies accept."""
        return f"{self.entity}{inflection.camelize(self.name)}"

    @property
    def taken_error(self) -> str:
        return f"{inflection.camelize(self.name)}Taken"

    @property
    def has_index(self) -> bool:
        return "index" in self.flags

    @property
    def accepted(self) -> str:
        accepted = self.alias if self.kind.accepted else self.kind.python
        return f"{accepted} | None" if self.is_optional else accepted

    @property
    def initial(self) -> str:
        """The text after the field's type in a schema, if the field is optional."""
        if self.has_default:
            return f" = {self.kind.literal(self.default)}"
        return " = None" if self.is_optional else ""

    @property
    def filter(self) -> str:
        return self.alias if self.kind.choices else self.kind.python

    @property
    def is_checked(self) -> bool:
        """Whether it refers to a row that not every caller may read."""
        return self.refers_to not in {None, "users"}

    @property
    def on_delete(self) -> str:
        return "SET NULL" if self.is_optional else "RESTRICT"

    @property
    def check(self) -> str:
        """The check constraint's text, in pieces that the formatter joins."""
        choices = ", ".join(f"'{choice}'" for choice in self.kind.choices)
        pieces = textwrap.wrap(f"{self.name} IN ({choices})", 60)
        return " ".join(f'"{piece} "' for piece in pieces[:-1]) + f'"{pieces[-1]}"'

    @property
    def column_arguments(self) -> str:
        """The arguments of `mapped_column`."""
        arguments = [self.kind.column] if self.kind.column else []
        if self.refers_to:
            target = f'"{self.refers_to}.id", ondelete="{self.on_delete}"'
            arguments.append(f"ForeignKey({target})")
        if self.has_default:
            arguments.append(f"default={self.kind.literal(self.default)}")
            server_default = self.kind.server_default(self.default)
            arguments.append(f"server_default={server_default}")
        return ", ".join(arguments)

    @property
    def migrated_default(self) -> str:
        default = self.kind.server_default(self.default)
        return f"sa.{default}" if default.endswith(")") else default

    @property
    def literals(self) -> tuple[str, str]:
        first, second = self.kind.examples
        return repr(first), repr(second)

    @property
    def factory_value(self) -> str:
        """The source of its value in the factory."""
        if self.refers_to == "users":
            return f"await {'another_users' if self.is_unique else 'my'}_id(client)"
        if self.target:
            return f'(await make_{self.target.singular}(client))["id"]'
        if self.is_unique:
            return str(self.kind.numbered)
        return self.literals[0]

    @property
    def changed_to(self) -> str:
        """The source of a value that differs from the one in the factory."""
        first, second = self.kind.examples
        return repr(first if self.default == second else second)

    @property
    def change(self) -> str:
        """The source of a PATCH body that changes its value."""
        return f'{{"{self.name}": {self.changed_to}}}'

"""Declarations for the admin site: how a module shows its models. Without Django.

admin = Admin(
    Invoice,
    list_display=["number", "customer", "due"],
    search=["number"],
    service=InvoiceService,
    create=Form(InvoiceCreate, InvoiceService.create),
    update=Form(InvoiceUpdate, InvoiceService.update),
    delete=InvoiceService.delete,
    actions=[Action("Mark as paid", InvoiceService.pay)],
)

Each function gets the service first and the caller last: `create(service, data,
caller)`, `update(service, id, data, caller)`, `delete(service, id, caller)`, and an
action like `delete`. What isn't declared isn't possible: a model without an `Admin` is
read-only.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bedplate.caller import Caller
from bedplate.config import Settings
from bedplate.core.permissions import Permission
from bedplate.database import Scope

if TYPE_CHECKING:
    from sqlalchemy.orm import DeclarativeBase

Act = Callable[..., Awaitable[Any]]
MakeService = Callable[..., Any]
"""Makes a service from a session and a runtime."""


@dataclass(frozen=True)
class Form:
    """A form: the schema of its fields, and the service method that saves them."""

    schema: type[BaseModel]
    save: Act
    prepare: Act | None = None
    """Runs before the transaction of an update, for slow work such as a password hash.

    `prepare(service, id, data, caller)` returns what `save` gets instead of the data.
    """


@dataclass(frozen=True)
class Action:
    """A button on a row's page, and an action on the selected rows of the list."""

    label: str
    do: Act
    _: KW_ONLY
    service: MakeService | None = None
    """The service that has the method, if it isn't the admin's own."""
    when: Callable[[Any], bool] | None = None
    """Return whether a row's page offers the action. By default each page does."""
    is_dangerous: bool = False


@dataclass(frozen=True)
class Stat:
    """A number on the front page: the count of the rows that match.

    Stat("Dead jobs", {"status": "dead"}, is_alarming=True)
    """

    label: str
    only: Mapping[str, Any] = field(default_factory=dict)
    """Django lookups. A function as a value is called on each page view."""
    _: KW_ONLY
    is_alarming: bool = False
    """Whether the number is highlighted when it isn't zero."""


@dataclass(frozen=True)
class Admin:
    """A model in the admin site."""

    model: "type[DeclarativeBase] | Callable[[str], type[DeclarativeBase]]"
    """A mapped class, or a function that returns it for the name of a dialect."""
    _: KW_ONLY
    permission: Permission | None = None
    """The permission to see and change it. Admins always may."""
    scope: Callable[[Caller], tuple[Scope, Mapping[str, Any]]] | None = None
    """The rows that a caller may see, as a scope and its parameters: the same rule as
    for reads of the API. Applies to lists, searches, pages, stats and actions. By
    default all rows."""
    name: str | None = None
    """The name of a row. By default the name of the class."""
    only: Mapping[str, Any] = field(default_factory=dict)
    """The rows of the table that are shown, as Django lookups."""
    without: Mapping[str, Any] = field(default_factory=dict)
    """The rows of the table that are hidden, as Django lookups."""
    list_display: Sequence[str] = ()
    """Columns of the list. By default the first five."""
    list_filter: Sequence[str] = ()
    search: Sequence[str] = ()
    ordering: Sequence[str] = ()
    service: MakeService | None = None
    create: Form | None = None
    update: Form | None = None
    delete: Act | None = None
    actions: Sequence[Action] = ()
    choices: Mapping[str, Callable[[Settings], Sequence[str]]] = field(
        default_factory=dict
    )
    """Fields whose allowed values follow from the settings."""
    links: Mapping[str, str] = field(default_factory=dict)
    """The table that a column refers to, for columns that are not foreign keys."""
    details: Act | None = None
    """More to show of rows: `details(service, ids)` returns texts by label, by id."""
    list_details: Sequence[str] = ()
    """The labels of the details that the list shows too."""
    stats: Sequence[Stat] = ()

    def mapped(self, dialect: str) -> "type[DeclarativeBase]":
        """Return the mapped class for a database dialect."""
        return self.model if isinstance(self.model, type) else self.model(dialect)

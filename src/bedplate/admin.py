"""What a module says of its place in the admin site. Nothing here knows Django.

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
action like `delete`. What isn't declared can't be done: a model of which a module says
nothing can be looked at, and that is all.
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
"""From a session and a runtime."""


@dataclass(frozen=True)
class Form:
    """What is asked for, and the service's method that gets it."""

    schema: type[BaseModel]
    save: Act
    prepare: Act | None = None
    """Runs before the transaction of an update, for what takes long, such as a hash.

    `prepare(service, id, data, caller)` returns what `save` gets in place of the data.
    """


@dataclass(frozen=True)
class Action:
    """Something to do with one row, or with each of those that are chosen in a list."""

    label: str
    do: Act
    _: KW_ONLY
    service: MakeService | None = None
    """Whose method it is, if not the admin's own service's."""
    when: Callable[[Any], bool] | None = None
    """Whether it is offered on a row's page; by default it is."""
    is_dangerous: bool = False


@dataclass(frozen=True)
class Stat:
    """A number on the front page: how many rows there are of which this holds.

    Stat("Dead jobs", {"status": "dead"}, is_alarming=True)
    """

    label: str
    only: Mapping[str, Any] = field(default_factory=dict)
    """Django's lookups; a function gives a value as of now."""
    _: KW_ONLY
    is_alarming: bool = False
    """Whether any at all are too many."""


@dataclass(frozen=True)
class Admin:
    """A model in the admin site."""

    model: "type[DeclarativeBase] | Callable[[str], type[DeclarativeBase]]"
    """A mapped class; or how to have it, from the name of the database's dialect."""
    _: KW_ONLY
    permission: Permission | None = None
    """Whose roles see and change it, besides admins."""
    scope: Callable[[Caller], tuple[Scope, Mapping[str, Any]]] | None = None
    """Which rows a caller may know of, as a scope and its parameters: the rule of the
    API's reads, for lists, searches, pages, figures and actions. By default all."""
    name: str | None = None
    """What its rows are called; by default as the class."""
    only: Mapping[str, Any] = field(default_factory=dict)
    """Which of the table's rows it shows: Django's lookups."""
    without: Mapping[str, Any] = field(default_factory=dict)
    """Which it doesn't."""
    list_display: Sequence[str] = ()
    """Columns of the list; by default the first few."""
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
    """The values of a field that the settings decide."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Columns that hold an id without being a foreign key, and of which table."""
    details: Act | None = None
    """More to show of rows: `details(service, ids)` gives texts by label, by id."""
    list_details: Sequence[str] = ()
    """The labels of those that the list shows too."""
    stats: Sequence[Stat] = ()

    def mapped(self, dialect: str) -> "type[DeclarativeBase]":
        """Its mapped class on a database."""
        return self.model if isinstance(self.model, type) else self.model(dialect)

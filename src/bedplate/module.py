"""`Module`: everything that a module adds to an application, in one object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bedplate.admin import Admin
from bedplate.caller import Caller
from bedplate.core.permissions import Permission
from bedplate.database import Base
from bedplate.jobs import Job, Queue
from bedplate.jobs.tables import ENGINE_TABLES

if TYPE_CHECKING:  # services import this file, and must not import a framework
    from fastapi import APIRouter
    from starlette.requests import Request

    from bedplate.runtime import Runtime

Authenticate = Callable[["Request"], Awaitable[Caller]]
StartHook = Callable[["Runtime"], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A feature: its router, its models and whatever else it adds.

    module = Module(name="invoices", router=router, models=[Invoice])
    """

    name: str
    router: APIRouter | None = None
    """Its operations, under `/api/v1`."""
    pages: APIRouter | None = None
    """Its pages outside the API, at the paths as they are written."""
    rest: str | None = None
    """The module of its viewsets: `shop.invoices.viewsets`. Only Django imports it."""
    models: Sequence[type[Base]] = ()
    migrations: str | None = None
    """The folder of its tables' revisions: `shop:migrations`.

    Modules of one package share a folder. Its revisions run after Bedplate's.
    """
    jobs: Sequence[Job] = ()
    on_sign_up: Sequence[Job] = ()
    """Jobs to start for each new account, with its `email`."""
    on_start: StartHook | None = None
    """Called when an application or a command starts, with the schema at head."""
    permissions: Sequence[Permission] = ()
    """The permissions that its rules check."""
    mail_templates: Path | None = None
    """A directory of mail templates, with one directory for each language."""
    admin: Sequence[Admin] = ()
    """Its models in the admin site. Models without one are read-only there."""
    requires: Sequence[str] = ()
    """The names of modules that must be listed before this one."""
    authenticate: Authenticate | None = None
    """Returns the caller of a request from its credentials. One module has it."""


def migrations_of(modules: Sequence[Module]) -> Sequence[str]:
    """Return the folders of the modules' revisions, each once, lowest module first."""
    return list(dict.fromkeys(m.migrations for m in modules if m.migrations))


class ModuleError(Exception):
    """The list of modules is wrong. The text names the module and what to do."""


def check_modules(modules: Sequence[Module]) -> None:
    """Check that each module is listed once, and after the modules it requires.

    Raises:
        ModuleError: also for a duplicate job or queue, and for a reserved table name.
    """
    earlier: set[str] = set()
    for module in modules:
        if module.name in earlier:
            raise ModuleError(
                f"the module {module.name!r} is listed twice: remove one of them"
            )
        if missing := [name for name in module.requires if name not in earlier]:
            raise ModuleError(
                f"the module {module.name!r} requires {missing[0]!r}: list it earlier"
            )
        earlier.add(module.name)
        _check_tables(module)
    _check_jobs([job for module in modules for job in module.jobs])


def _check_tables(module: Module) -> None:
    for model in module.models:
        if model.__tablename__ in ENGINE_TABLES:
            raise ModuleError(
                f"the table {model.__tablename__!r} of the module {module.name!r} has "
                "the name of a table of the job engine: rename it"
            )


def _check_jobs(jobs: Sequence[Job]) -> None:
    queues: dict[str, Queue] = {}
    for job in jobs:
        if sum(other.name == job.name for other in jobs) > 1:
            raise ModuleError(f"two jobs are named {job.name!r}: rename one of them")
        if queues.setdefault(job.queue.name, job.queue) != job.queue:
            raise ModuleError(
                f"the queue {job.queue.name!r} is declared twice: share one `Queue`"
            )

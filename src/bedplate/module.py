"""What a module brings to an application, said in one object."""

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

if TYPE_CHECKING:  # a service reaches this file, and must not reach a framework
    from fastapi import APIRouter
    from starlette.requests import Request

    from bedplate.runtime import Runtime

Authenticate = Callable[["Request"], Awaitable[Caller]]
StartHook = Callable[["Runtime"], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A feature: a folder with a router, models and what else it needs.

    module = Module(name="invoices", router=router, models=[Invoice])
    """

    name: str
    router: APIRouter | None = None
    """Its operations, below `/api/v1`."""
    pages: APIRouter | None = None
    """What it serves outside the API, at the paths as they are."""
    rest: str | None = None
    """The file of its viewsets, as `shop.invoices.viewsets`; only Django imports it."""
    models: Sequence[type[Base]] = ()
    migrations: str | None = None
    """The folder of the revisions of its tables, as `shop:migrations`.

    Modules of one package share it; `bedplate migrate` runs them after ours.
    """
    jobs: Sequence[Job] = ()
    on_sign_up: Sequence[Job] = ()
    """Jobs to start for each new account, with its `email`."""
    on_start: StartHook | None = None
    """Called when an application or a command begins its work."""
    permissions: Sequence[Permission] = ()
    """What its rules ask for, besides being signed in."""
    mail_templates: Path | None = None
    """A folder of mail templates, one folder a language in it."""
    admin: Sequence[Admin] = ()
    """Its models' places in the admin site; those without are there to be looked at."""
    requires: Sequence[str] = ()
    """The modules that must come before this one."""
    authenticate: Authenticate | None = None
    """Turns a request's credentials into its caller; one module has it."""


def migrations_of(modules: Sequence[Module]) -> Sequence[str]:
    """The folders of the modules' own revisions, each once, lowest first."""
    return list(dict.fromkeys(m.migrations for m in modules if m.migrations))


class ModuleError(Exception):
    """The list of modules can't work; the text says which one and why."""


def check_modules(modules: Sequence[Module]) -> None:
    """Each once, each after what it requires.

    Raises:
        ModuleError: names what is doubled, missing or taken.
    """
    seen: set[str] = set()
    for module in modules:
        if module.name in seen:
            raise ModuleError(f"the module {module.name!r} is listed twice")
        if missing := [name for name in module.requires if name not in seen]:
            raise ModuleError(f"{module.name!r} needs {missing[0]!r} before it")
        seen.add(module.name)
        _check_tables(module)
    _check_jobs([job for module in modules for job in module.jobs])


def _check_tables(module: Module) -> None:
    for model in module.models:
        if model.__tablename__ in ENGINE_TABLES:
            name = f"{model.__tablename__!r} of {module.name!r}"
            raise ModuleError(f"the table {name} has the name of a table of the jobs")


def _check_jobs(jobs: Sequence[Job]) -> None:
    queues: dict[str, Queue] = {}
    for job in jobs:
        if sum(other.name == job.name for other in jobs) > 1:
            raise ModuleError(f"two jobs are called {job.name!r}")
        if queues.setdefault(job.queue.name, job.queue) != job.queue:
            raise ModuleError(f"the queue {job.queue.name!r} is declared twice")

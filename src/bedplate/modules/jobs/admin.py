"""Jobs in the admin site, and the jobs that send mail."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from bedplate.admin import Action, Admin, Stat
from bedplate.caller import Caller
from bedplate.database import Session
from bedplate.jobs.tables import TICK, rows_for
from bedplate.modules.jobs.service import JobService
from bedplate.runtime import Runtime

Details = Mapping[UUID, Mapping[str, str]]


def job_row(dialect: str) -> Any:
    return rows_for(dialect)[0]


def make_service(session: Session, _runtime: Runtime) -> JobService:
    return JobService(session)


async def retry(jobs: JobService, job_id: UUID, caller: Caller) -> None:
    await jobs.retry(job_id)


async def discard(jobs: JobService, job_id: UUID, caller: Caller) -> None:
    await jobs.discard(job_id)


async def describe(jobs: JobService, ids: Sequence[UUID]) -> Details:
    """Return the arguments and the error of jobs, as they are stored."""
    stored = await jobs.stored(ids)
    return {
        id_: {
            "Arguments": repr(s.arguments),
            "Error": s.error or "-",
            "Traceback": s.traceback or "-",
        }
        for id_, s in stored.items()
    }


async def describe_mail(jobs: JobService, ids: Sequence[UUID]) -> Details:
    """Return the template, the recipient and the error of mail jobs."""
    stored = await jobs.stored(ids)
    return {
        id_: {
            "Mail": str(s.arguments.get("template", "-")),
            "To": str(_recipient(s.arguments)),
            "Error": s.error or "-",
        }
        for id_, s in stored.items()
    }


def _recipient(arguments: Mapping[str, Any]) -> Any:
    # The jobs that send mail name their recipient differently.
    names = ("to", "email", "new_email", "user_id")
    return next((arguments[name] for name in names if name in arguments), "-")


ACTIONS = (
    Action("Retry", retry, when=lambda job: job.status == "dead"),
    Action("Discard", discard, is_dangerous=True),
)
_COLUMNS = ("created_at", "job", "status")

job = Admin(
    job_row,
    name="Job",
    without={"job": TICK},
    list_display=[*_COLUMNS, "queue", "attempts", "due_at", "completed_at"],
    list_filter=["status", "queue", "job"],
    search=["job"],
    ordering=["-created_at"],
    service=make_service,
    actions=ACTIONS,
    details=describe,
    stats=[
        Stat("Jobs waiting", {"status__in": ("queued", "delayed")}),
        Stat("Dead jobs", {"status": "dead"}, is_alarming=True),
    ],
)
mail = Admin(
    job_row,
    name="Mail",
    only={"job__startswith": "send_"},
    list_display=[*_COLUMNS, "attempts", "completed_at"],
    list_filter=["status", "job"],
    ordering=["-created_at"],
    service=make_service,
    actions=ACTIONS,
    details=describe_mail,
    list_details=["To", "Mail"],
    stats=[Stat("Mails sent", {"status": "succeeded"})],
)

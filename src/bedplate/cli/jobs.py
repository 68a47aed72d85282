"""`bedplate jobs …`: what waits, what failed for good, and what to do with it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from bedplate.cli.runner import fail, print_table, run

if TYPE_CHECKING:
    from bedplate.modules.jobs.schemas import JobResponse
    from bedplate.modules.jobs.service import JobService
    from bedplate.runtime import Runtime

T = TypeVar("T")

app = typer.Typer(help="See jobs; retry or discard them.", no_args_is_help=True)

JobId = Annotated[UUID, typer.Argument(metavar="ID", help="As `jobs list` shows it.")]


@app.command("list")
def list_(
    status: Annotated[
        str | None,
        typer.Option(help="queued, delayed, running, succeeded, dead or cancelled."),
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only this function's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
) -> None:
    """Show jobs, newest first; `--status dead` are the dead letters."""
    from rich.table import Column, Table

    # Whole at any width: `jobs show` needs it.
    id_ = Column("ID", no_wrap=True, min_width=36)
    table = Table(id_, "Job", "Status", "Attempts", "Since", "Error", box=None)
    for row in _with_jobs(lambda jobs: _newest(jobs, status, job, limit)):
        since = f"{row.created_at:%Y-%m-%d %H:%M}"
        error = row.error or ""
        table.add_row(str(row.id), row.job, row.status, str(row.attempts), since, error)
    print_table(table)


async def _newest(
    jobs: "JobService", status: str | None, job: str | None, limit: int
) -> "list[JobResponse]":
    from pydantic import ValidationError

    from bedplate.modules.jobs.schemas import STATUSES, JobListParams

    try:
        asked = {"status": status, "job": job, "limit": limit}
        params = JobListParams.model_validate(asked)
    except ValidationError:
        fail(f"a status is one of {', '.join(STATUSES)}")
    return (await jobs.list_page(params)).items


@app.command()
def show(job_id: JobId) -> None:
    """Show a job with its arguments and its last error."""
    detail = _with_jobs(lambda jobs: jobs.get_detail(job_id))
    for name in detail.job.__struct_fields__:
        print(f"{name:13} {getattr(detail.job, name)}")
    print(f"{'arguments':13} {detail.arguments}")
    if detail.traceback is not None:
        print(f"\n{detail.traceback}")


@app.command()
def retry(job_id: JobId) -> None:
    """Give a dead letter all its attempts again."""
    job = _with_jobs(lambda jobs: jobs.retry(job_id))
    print(f"{job.job} {job.id} is {job.status}.")


@app.command()
def discard(job_id: JobId) -> None:
    """Drop a job; it won't run any more."""
    _with_jobs(lambda jobs: jobs.discard(job_id))
    print(f"Discarded {job_id}.")


def _with_jobs(act: "Callable[[JobService], Awaitable[T]]") -> T:
    from bedplate.modules.jobs.service import JobService

    async def work(runtime: "Runtime") -> T:
        async with runtime.database.unit_of_work() as session:
            return await act(JobService(session))

    return run(work)

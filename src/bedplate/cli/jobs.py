"""`bedplate jobs …`: list jobs, and retry or discard dead ones."""

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

app = typer.Typer(help="List jobs, and retry or discard them.", no_args_is_help=True)

JobId = Annotated[
    UUID, typer.Argument(metavar="ID", help="The id that `jobs list` shows.")
]


@app.command("list")
def list_(
    status: Annotated[
        str | None,
        typer.Option(help="queued, delayed, running, succeeded, dead or cancelled."),
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only jobs of this function.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100, help="Maximum number of jobs.")
    ] = 20,
) -> None:
    """List jobs, newest first. `--status dead` lists those that failed for good."""
    from rich.table import Column, Table

    # Never shortened, whatever the terminal's width: `jobs show` takes the whole id.
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
        filters = {"status": status, "job": job, "limit": limit}
        params = JobListParams.model_validate(filters)
    except ValidationError:
        fail(f"the status must be one of {', '.join(STATUSES)}")
    return (await jobs.list_page(params)).items


@app.command()
def show(job_id: JobId) -> None:
    """Show a job with its arguments and its last traceback."""
    detail = _with_jobs(lambda jobs: jobs.get_detail(job_id))
    for name in detail.job.__struct_fields__:
        print(f"{name:13} {getattr(detail.job, name)}")
    print(f"{'arguments':13} {detail.arguments}")
    if detail.traceback is not None:
        print(f"\n{detail.traceback}")


@app.command()
def retry(job_id: JobId) -> None:
    """Run a dead job again, with all its attempts."""
    job = _with_jobs(lambda jobs: jobs.retry(job_id))
    print(f"{job.job} {job.id} is {job.status}.")


@app.command()
def discard(job_id: JobId) -> None:
    """Discard a job, so that it never runs again."""
    _with_jobs(lambda jobs: jobs.discard(job_id))
    print(f"Discarded {job_id}.")


def _with_jobs(act: "Callable[[JobService], Awaitable[T]]") -> T:
    from bedplate.modules.jobs.service import JobService

    async def work(runtime: "Runtime") -> T:
        async with runtime.database.unit_of_work() as session:
            return await act(JobService(session))

    return run(work)

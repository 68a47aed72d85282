"""Jobs and mail in tests: run here and now, without a worker."""

import json
from typing import Any

import sqlalchemy as sa

from bedplate.jobs import JobRun
from bedplate.jobs.rows import rows_for
from bedplate.jobs.store import JobStore
from bedplate.runtime import Runtime


async def run_queued_jobs(runtime: Runtime, *, delayed: bool = False) -> list[str]:
    """Run each queued job once, and those that they enqueue; tells their names.

    A failure is the caller's, and leaves the job where it was.
    """
    names: list[str] = []
    while queued := await _queued(runtime, ["queued", *(["delayed"] * delayed)]):
        for id_, name, stored in queued:
            job = runtime.jobs.jobs[name]
            arguments = json.loads(stored)["positionalArgs"][0]
            await job(JobRun(runtime, str(id_), 1), **job.load(arguments))
            async with runtime.database.unit_of_work() as session:
                await JobStore(session).discard(id_)
            names.append(name)
    return names


async def _queued(runtime: Runtime, statuses: list[str]) -> Any:
    job, input_, _ = rows_for(runtime.database.dialect.name)
    query = (
        sa.select(job.id, job.job, input_.arguments)
        .join(input_, input_.id == job.id)
        .where(job.status.in_(statuses))
        .order_by(job.created_at, job.id)
    )
    async with runtime.database.engine.connect() as connection:
        return (await connection.execute(query)).all()

from datetime import timedelta

from bedplate.jobs import JobRun, job
from bedplate.jobs.store import JobStore


@job(cron="17 * * * *")
async def purge_jobs(run: JobRun) -> None:
    """Delete old succeeded jobs. Dead jobs remain until an admin discards them."""
    retention = timedelta(days=run.runtime.settings.job_retention_days)
    # Batches in transactions of their own, so that other writers wait only briefly.
    purged = 1
    while purged:
        async with run.unit_of_work() as session:
            purged = await JobStore(session).purge(retention)

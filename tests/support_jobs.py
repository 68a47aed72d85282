"""Shared by the tests that need jobs in a worker's hands, without a worker."""

from typing import Any
from uuid import UUID

from bedplate.jobs.store import JobStore, StalledJob


async def claim(session: Any, job_id: str) -> None:
    """What the engine does to a job that it starts."""
    job = JobStore(session).job
    row = await session.get(job, UUID(job_id))
    row.status, row.executor_id, row.attempts = "running", "worker", 8
    await session.flush()


async def mark_dead(session: Any, job_id: str) -> None:
    """Make a job a dead letter, as a worker that gave it up."""
    await claim(session, job_id)
    stalled = StalledJob(job_id, "send_email", 8, "worker")
    await JobStore(session).mark_dead(stalled, RuntimeError("the mail server said no"))

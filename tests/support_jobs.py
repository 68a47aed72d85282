"""Helpers for tests that need claimed or dead jobs without a worker."""

from typing import Any
from uuid import UUID

from bedplate.jobs.store import JobStore, StalledJob


async def claim(session: Any, job_id: str) -> None:
    """Change a job's row as the engine does when it starts the job."""
    job = JobStore(session).job
    row = await session.get(job, UUID(job_id))
    row.status, row.executor_id, row.attempts = "running", "worker", 8
    await session.flush()


async def mark_dead(session: Any, job_id: str) -> None:
    """Mark a job dead, like a worker after its last attempt."""
    await claim(session, job_id)
    stalled = StalledJob(job_id, "send_email", 8, "worker")
    await JobStore(session).mark_dead(stalled, RuntimeError("the mail server said no"))

from collections.abc import Sequence
from uuid import UUID

from bedplate.core.errors import InvalidCursor, raises
from bedplate.core.preconditions import IfMatch
from bedplate.database import Session
from bedplate.jobs.store import JobStore
from bedplate.modules.jobs.errors import JobNotDead, JobNotFound, JobRunning
from bedplate.modules.jobs.repository import JobRepository, StoredJob
from bedplate.modules.jobs.schemas import JobDetail, JobListParams, JobResponse
from bedplate.schemas import Page


class JobService:
    """Rules for jobs. Admins list, retry and discard them."""

    def __init__(self, session: Session) -> None:
        self.jobs = JobRepository(session)
        self.store = JobStore(session)

    @raises(InvalidCursor)
    async def list_page(self, params: JobListParams) -> Page[JobResponse]:
        """Return a page of jobs.

        Raises:
            InvalidCursor: the cursor is from another list or order.
        """
        return await self.jobs.list_page(params)

    @raises(JobNotFound)
    async def get(self, job_id: UUID) -> JobResponse:
        """Return a job.

        Raises:
            JobNotFound
        """
        job = await self.jobs.find(job_id)
        if job is None:
            raise JobNotFound
        return job

    async def get_detail(self, job_id: UUID) -> JobDetail:
        """Return a job with its arguments.

        Raises:
            JobNotFound
        """
        detail = await self.jobs.find_detail(job_id)
        if detail is None:
            raise JobNotFound
        return detail

    async def stored(self, ids: Sequence[UUID]) -> dict[UUID, StoredJob]:
        """Return the arguments and the errors of jobs, by id."""
        return await self.jobs.find_stored(ids)

    @raises(JobNotFound, JobNotDead)
    async def retry(self, job_id: UUID, if_match: IfMatch | None = None) -> JobResponse:
        """Retry a dead job, with all its attempts.

        Raises:
            JobNotFound, JobNotDead, PreconditionFailed
        """
        await self._check(job_id, if_match)
        if not await self.store.retry(job_id):
            await self.get(job_id)  # raises if the job does not exist
            raise JobNotDead
        return await self.get(job_id)

    @raises(JobNotFound, JobRunning)
    async def discard(self, job_id: UUID, if_match: IfMatch | None = None) -> None:
        """Delete a job, finished or not, so that it doesn't run again.

        Raises:
            JobNotFound, JobRunning, PreconditionFailed
        """
        await self._check(job_id, if_match)
        if not await self.store.discard(job_id):
            await self.get(job_id)
            raise JobRunning

    async def _check(self, job_id: UUID, if_match: IfMatch | None) -> None:
        # Locked, so that the job can't change between this check and the action.
        if if_match is not None:
            await self.store.lock(job_id)
            if_match.check(await self.get(job_id))

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, status

from bedplate.api.dependencies import AdminUser, IfMatchDep, SessionDep
from bedplate.api.routing import Router
from bedplate.modules.jobs.schemas import JobListParams, JobListResponse, JobResponse
from bedplate.modules.jobs.service import JobService
from bedplate.openapi_parts import errors
from bedplate.schemas import Page

router = Router(prefix="/jobs", tags=["jobs"])


async def get_job_service(session: SessionDep) -> JobService:
    return JobService(session)


JobServiceDep = Annotated[JobService, Depends(get_job_service)]


@router.get(
    "",
    response_model=JobListResponse,
    responses=errors(JobService.list_page),
)
async def list_jobs(
    jobs: JobServiceDep, admin: AdminUser, params: Annotated[JobListParams, Query()]
) -> Page[JobResponse]:
    """List all jobs. `status=dead` lists the dead letters."""
    return await jobs.list_page(params)


@router.get(
    "/{job_id}",
    response_model=JobResponse,
    responses=errors(JobService.get),
)
async def get_job(jobs: JobServiceDep, admin: AdminUser, job_id: UUID) -> JobResponse:
    """Return a job and, if it failed, its last error."""
    return await jobs.get(job_id)


@router.post(
    "/{job_id}/retry",
    response_model=JobResponse,
    responses=errors(JobService.retry),
)
async def retry_job(
    jobs: JobServiceDep, admin: AdminUser, job_id: UUID, if_match: IfMatchDep
) -> JobResponse:
    """Retry a dead letter, with all its attempts."""
    return await jobs.retry(job_id, if_match)


@router.delete(
    "/{job_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(JobService.discard),
)
async def discard_job(
    jobs: JobServiceDep, admin: AdminUser, job_id: UUID, if_match: IfMatchDep
) -> None:
    """Discard a job. It does not run again."""
    await jobs.discard(job_id, if_match)

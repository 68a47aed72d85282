from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field, StringConstraints

from bedplate.schemas import NO_NUL, ListParams, Page, ResponseSchema

Status = Literal["queued", "delayed", "running", "succeeded", "dead", "cancelled"]
STATUSES: tuple[str, ...] = get_args(Status)
Name = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]


class JobResponse(ResponseSchema, frozen=True):
    """A job. A `dead` one used up its attempts; `error` is its last error."""

    id: UUID
    job: str
    status: Status
    queue: str | None
    attempts: int
    error: str | None
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    completed_at: datetime | None


class JobListResponse(Page[JobResponse], frozen=True):
    """One page of jobs."""


class JobListParams(ListParams):
    sort: Literal["created_at", "-created_at"] = "-created_at"
    status: Status | None = None
    job: Annotated[Name | None, Field(description="Name of the job's function.")] = None
    queue: Name | None = None


class JobDetail(ResponseSchema, frozen=True):
    """A job with its arguments as they are stored, and its last traceback."""

    job: JobResponse
    arguments: str
    traceback: str | None

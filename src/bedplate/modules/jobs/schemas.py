from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field, StringConstraints

from bedplate.schemas import NO_NUL, ListParams, Page, ResponseSchema

Status = Literal["queued", "delayed", "running", "succeeded", "dead", "cancelled"]
STATUSES: tuple[str, ...] = get_args(Status)
Name = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]


class JobResponse(ResponseSchema, frozen=True):
    """A job. A `dead` job has used up its attempts; see its `error`."""

    id: UUID
    job: Annotated[str, Field(description="The name of its function.")]
    status: Annotated[Status, Field(description="The state of the job.")]
    queue: Annotated[str | None, Field(description="The queue that it waits in.")]
    attempts: Annotated[int, Field(description="The number of attempts so far.")]
    error: Annotated[str | None, Field(description="The error of the last attempt.")]
    created_at: datetime
    updated_at: datetime
    due_at: Annotated[
        datetime | None,
        Field(description="Time before which it does not start, in UTC."),
    ]
    completed_at: Annotated[
        datetime | None, Field(description="Time when it succeeded or died, in UTC.")
    ]


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

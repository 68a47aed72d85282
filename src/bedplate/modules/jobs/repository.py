import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from bedplate.database import ListQuery, Query, Session
from bedplate.jobs.tables import TICK, JobFailure, JobId, JobTraceback, rows_for
from bedplate.modules.jobs.schemas import (
    JobDetail,
    JobListParams,
    JobListResponse,
    JobResponse,
)
from bedplate.schemas import Page


class StoredJob(NamedTuple):
    """The parts of a job that the engine stores apart from its status."""

    arguments: dict[str, Any]
    error: str | None
    traceback: str | None


def _arguments(stored: str | None) -> dict[str, Any]:
    """Return the keyword arguments of a job. The engine's own steps have none."""
    try:
        arguments = json.loads(stored or "")["positionalArgs"][0]
    except (ValueError, TypeError, LookupError, RecursionError):
        return {}  # not written by `enqueue`; `bedplate jobs show` prints the raw text
    return arguments if isinstance(arguments, dict) else {}


class JobRepository:
    """Queries of jobs for admins. `jobs.store` changes jobs."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = session.get_bind().dialect.name

    async def find(self, job_id: UUID) -> JobResponse | None:
        return await self.session.fetch_one(_find(self.dialect), job_id=job_id)

    async def find_detail(self, job_id: UUID) -> JobDetail | None:
        return await self.session.fetch_one(_detail(self.dialect), job_id=job_id)

    async def find_stored(self, ids: Sequence[UUID]) -> dict[UUID, StoredJob]:
        job, input_, output = rows_for(self.dialect)
        query = (
            sa.select(
                job.id,
                input_.arguments,
                sa.type_coerce(_failure(self.dialect), JobFailure),
                sa.type_coerce(_failure(self.dialect), JobTraceback),
            )
            .outerjoin(input_, input_.id == job.id)
            .outerjoin(output, output.id == job.id)
            .where(job.id.in_(ids))
        )
        rows = await self.session.execute(query)
        return {id_: StoredJob(_arguments(text), *rest) for id_, text, *rest in rows}

    async def list_page(self, params: JobListParams) -> Page[JobResponse]:
        return await self.session.fetch_page(_list(self.dialect), params)


def _failure(dialect: str) -> Any:
    """Select the stored error: the final one, else that of the last attempt."""
    job, _, output = rows_for(dialect)
    failed = sa.func.coalesce(output.error, job.last_error)
    return sa.case((job.status == "succeeded", sa.null()), else_=failed)


def _columns(dialect: str) -> tuple[Any, ...]:
    job, _, _ = rows_for(dialect)
    names = ("id", "job", "status", "queue", "attempts")
    times = ("created_at", "updated_at", "due_at", "completed_at")
    return (
        *(getattr(job, name).label(name) for name in names),
        sa.type_coerce(_failure(dialect), JobFailure).label("error"),
        *(getattr(job, name).label(name) for name in times),
    )


def _select(dialect: str, *columns: Any) -> Any:
    job, _, output = rows_for(dialect)
    with_output = sa.outerjoin(job, output, output.id == job.id)
    return sa.select(*columns).select_from(with_output)


_JOB_ID = sa.bindparam("job_id", type_=JobId())


@cache
def _find(dialect: str) -> Query[JobResponse]:
    job, _, _ = rows_for(dialect)
    query = _select(dialect, *_columns(dialect))
    return Query(query.where(job.id == _JOB_ID), JobResponse)


@cache
def _detail(dialect: str) -> Query[JobDetail]:
    job, input_, _ = rows_for(dialect)
    columns = [c.label(f"job_{c.key}") for c in _columns(dialect)]
    arguments = sa.select(input_.arguments).where(input_.id == job.id).scalar_subquery()
    traceback = sa.type_coerce(_failure(dialect), JobTraceback).label("traceback")
    query = _select(dialect, *columns, arguments.label("arguments"), traceback)
    return Query(query.where(job.id == _JOB_ID), JobDetail)


@cache
def _list(dialect: str) -> ListQuery[JobResponse]:
    job, _, _ = rows_for(dialect)
    return ListQuery(
        # Steps of the scheduler are stored as jobs too, but are not interesting.
        _select(dialect, *_columns(dialect)).where(job.job != TICK),
        JobListResponse,
        JobListParams,
    )

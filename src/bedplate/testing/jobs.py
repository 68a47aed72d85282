"""Runs jobs in tests: by the embedded worker if there is one, or right here."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from bedplate.core.clock import utc_now
from bedplate.jobs import JobRun
from bedplate.jobs.store import JobStore
from bedplate.jobs.tables import TICK, JobFailure, rows_for
from bedplate.runtime import Runtime

PATIENCE: Final = timedelta(seconds=30)
_POLL_SECONDS: Final = 0.02
_WAITING: Final = frozenset(("queued", "delayed"))
_TO_DO: Final = frozenset(("queued", "running"))
_KEYED_ID: Final = 5
"""The UUID version of the ids of jobs with a key, which scheduled jobs have."""


class JobFailed(Exception):
    """A job raised an error. The message has both, the log has the traceback."""


class JobsUnfinished(Exception):
    """The jobs didn't finish in time. The message lists the unfinished ones."""


class JobRunner:
    """Runs the jobs of a test to their end.

    If the application has an embedded worker, as on SQLite, the worker runs them and
    this waits for it. Otherwise this runs them.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._job, self._input, self._output = rows_for(runtime.database.dialect.name)
        self._reported: set[UUID] = set()
        self._failures: set[tuple[UUID, int]] = set()

    async def finish(self, *, delayed: bool = False) -> list[str]:
        """Finish the queued jobs and those that they enqueue. Return the jobs' names.

        The names are in the order of enqueueing, and each job is returned once in a
        test. With `delayed`, delayed jobs run immediately.

        Raises:
            JobFailed: a job raised an error. It stays in the queue.
            JobsUnfinished: they took longer than `PATIENCE`.
        """
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                if not self._runtime.settings.runs_worker:
                    return await self._run_here(delayed=delayed)
                if delayed:
                    await self._make_delayed_due()
                while await self._unfinished():  # noqa: ASYNC110, a table has no event to wait for
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise JobsUnfinished(", ".join(await self._unfinished())) from None
        return await self._report()

    # By the worker

    async def _make_delayed_due(self) -> None:
        async with self._runtime.database.unit_of_work() as session:
            await session.execute(
                sa.update(self._job)
                .where(self._job.status == "delayed")
                .values(status="queued", due_at=None, updated_at=utc_now())
            )

    async def _unfinished(self) -> list[str]:
        job, output = self._job, self._output
        error = sa.func.coalesce(output.error, job.last_error, type_=JobFailure())
        rows = await self._fetch(
            sa.select(job.job, job.id, job.attempts, job.status, error)
            .outerjoin(output, output.id == job.id)
            .where(job.job != TICK, job.status != "succeeded")
        )
        for row in rows:
            self._check(*row)
        return [name for name, _, _, status, _ in rows if status in _TO_DO]

    def _check(
        self, name: str, id_: UUID, attempts: int, status: str, error: str | None
    ) -> None:
        """Raise JobFailed for an attempt that failed, once."""
        is_retry = bool(error and attempts) and status in _WAITING
        attempt = (id_, attempts)
        if (is_retry or status == "dead") and attempt not in self._failures:
            self._failures.add(attempt)
            raise JobFailed(f"{name}: {error}")

    async def _report(self) -> list[str]:
        job = self._job
        succeeded = sa.select(job.id, job.job).where(
            job.status == "succeeded", job.job != TICK
        )
        rows = await self._fetch(succeeded.order_by(job.created_at, job.id))
        new = [(id_, name) for id_, name in rows if id_ not in self._reported]
        self._reported |= {id_ for id_, _ in new}
        return [name for id_, name in new if not self._is_scheduled(id_, name)]

    def _is_scheduled(self, id_: UUID, name: str) -> bool:
        """Return whether the scheduler has enqueued a job, and not the test."""
        return bool(self._runtime.jobs.jobs[name].cron) and id_.version == _KEYED_ID

    # Without a worker

    async def _run_here(self, *, delayed: bool) -> list[str]:
        names: list[str] = []
        statuses = ["queued", *(["delayed"] * delayed)]
        while queued := await self._stored(statuses):
            for id_, name, stored in queued:
                await self._run_one(id_, name, stored)
                names.append(name)
        return names

    async def _run_one(self, id_: UUID, name: str, stored: str) -> None:
        runtime = self._runtime
        job = runtime.jobs.jobs[name]
        arguments = json.loads(stored)["positionalArgs"][0]
        try:
            await job(JobRun(runtime, str(id_), 1), **job.load(arguments))
        except Exception as error:
            raise JobFailed(f"{name}: {type(error).__name__}: {error}") from error
        async with runtime.database.unit_of_work() as session:
            await JobStore(session).discard(id_)

    async def _stored(self, statuses: list[str]) -> Sequence[Any]:
        job, input_ = self._job, self._input
        return await self._fetch(
            sa.select(job.id, job.job, input_.arguments)
            .join(input_, input_.id == job.id)
            .where(job.status.in_(statuses))
            .order_by(job.created_at, job.id)
        )

    async def _fetch(self, query: Any) -> Sequence[Any]:
        async with self._runtime.database.engine.connect() as connection:
            return (await connection.execute(query)).all()

"""Our own statements on the engine's tables.

The engine claims jobs, runs them and stores their outcome. This module adds retries
that wait in the job's row, and the recovery of jobs from dead workers.
"""

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from bedplate.core.clock import utc_now
from bedplate.database import Session
from bedplate.jobs.failures import describe_failure
from bedplate.jobs.tables import WorkerHeartbeat, rows_for

# A worker starts a job a moment after it claims it. A claim that is older than this and
# isn't running was never started.
CLAIM_GRACE = timedelta(seconds=10)
_PURGE_BATCH = 1000


class StalledJob(NamedTuple):
    """A job that is marked as running, but that no worker runs."""

    id: str
    job: str
    attempts: int
    executor_id: str | None


class JobStore:
    """Changes jobs in the engine's tables, in a session's transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = session.get_bind().dialect
        self.job, self.input, self.output = rows_for(self.dialect.name)

    @property
    def _now(self) -> Any:
        # With PostgreSQL, workers may run on several machines, whose clocks differ.
        return sa.func.now() if self.dialect.name == "postgresql" else utc_now()

    async def heartbeat(self, executor_id: str) -> None:
        """Record that this worker is alive."""
        result = await self.session.execute(
            sa.update(WorkerHeartbeat)
            .where(WorkerHeartbeat.executor_id == executor_id)
            .values(seen_at=self._now)
        )
        if not result.rowcount:  # type: ignore[attr-defined]  # an UPDATE has it
            insert = sa.insert(WorkerHeartbeat)
            await self.session.execute(
                insert.values(executor_id=executor_id, seen_at=self._now)
            )

    async def forget_workers(
        self, executor_id: str, *, dead_for: timedelta | None = None
    ) -> None:
        """Delete a worker's heartbeat, or with `dead_for` those of all dead workers."""
        statement = sa.delete(WorkerHeartbeat)
        if dead_for is None:
            statement = statement.where(WorkerHeartbeat.executor_id == executor_id)
        else:
            statement = statement.where(WorkerHeartbeat.seen_at < self._now - dead_for)
        await self.session.execute(statement)

    async def find_stalled(
        self, executor_id: str, running: Collection[str], dead_after: timedelta
    ) -> Sequence[StalledJob]:
        """Return jobs of dead workers, and claims that this worker never started.

        A claim is lost if the connection breaks between the commit and its
        confirmation, or if this worker has no job of that name.
        """
        job = self.job
        alive = sa.select(WorkerHeartbeat.executor_id).where(
            WorkerHeartbeat.seen_at > self._now - dead_after
        )
        lost = sa.and_(
            job.executor_id == executor_id,
            job.started_at < utc_now() - CLAIM_GRACE,
            job.id.not_in(running),
        )
        rows = await self.session.execute(
            # As text, not as `JobId`: the step of a schedule has an id that isn't a
            # UUID.
            sa.select(
                sa.type_coerce(job.id, sa.Text), job.job, job.attempts, job.executor_id
            ).where(
                job.status == "running",
                sa.or_(job.executor_id.not_in(alive), lost),
            )
        )
        return [StalledJob(*row) for row in rows]

    async def retry_later(
        self,
        id_: str,
        executor_id: str | None,
        delay: timedelta,
        error: BaseException | None = None,
    ) -> None:
        """Put a running job back into its queue for the next attempt after `delay`."""
        values: dict[str, Any] = {"status": "queued", "due_at": None}
        if delay:
            values = {"status": "delayed", "due_at": utc_now() + delay}
        if error is not None:
            values["last_error"] = json.dumps(describe_failure(error))
        await self._release(values, self.job.id == id_, executor_id)

    async def mark_dead(self, stalled: StalledJob, error: BaseException) -> None:
        """Mark a job dead that has no attempts left."""
        values = {
            "status": "dead",
            "last_error": json.dumps(describe_failure(error)),
            "completed_at": utc_now(),
        }
        await self._release(values, self.job.id == stalled.id, stalled.executor_id)

    async def release(self, executor_id: str) -> None:
        """Return a stopping worker's jobs to the queue; the attempt doesn't count."""
        values = {"status": "queued", "attempts": self.job.attempts - 1}
        await self._release(values, sa.true(), executor_id)

    async def _release(
        self, values: dict[str, Any], condition: Any, executor_id: str | None
    ) -> None:
        """Change running jobs of a worker, unless another worker has claimed them."""
        job = self.job
        values = {"owner": None, "started_at": None, "updated_at": utc_now(), **values}
        # The condition on the worker prevents a race: another one may have recovered
        # the job in the meantime.
        await self.session.execute(
            sa.update(job)
            .where(condition, job.status == "running", job.executor_id == executor_id)
            .values({getattr(job, name): value for name, value in values.items()})
        )

    async def retry(self, id_: UUID) -> bool:
        """Queue a dead or canceled job again, with all its attempts; else False."""
        job = self.job
        values = {
            job.status: "queued",
            job.attempts: 0,
            job.owner: None,
            job.started_at: None,
            job.completed_at: None,
            job.updated_at: utc_now(),
        }
        is_dead = job.status.in_(("dead", "cancelled"))
        result = await self.session.execute(
            sa.update(job).where(job.id == id_, is_dead).values(values)
        )
        return bool(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE has it

    async def discard(self, id_: UUID) -> bool:
        """Delete a job that isn't running; False if it is running or doesn't exist."""
        is_idle = await self.lock(id_, self.job.status != "running")
        if is_idle:
            await self._delete([id_])
        return is_idle

    async def lock(self, id_: UUID, *conditions: Any) -> bool:
        """Lock a job's row until the transaction ends; False if it does not exist."""
        job = self.job
        query = sa.select(job.id).where(job.id == id_, *conditions).with_for_update()
        return (await self.session.execute(query)).first() is not None

    async def purge(self, older_than: timedelta) -> int:
        """Delete jobs that succeeded or were canceled that long ago; return a count."""
        job = self.job
        ended = sa.select(sa.type_coerce(job.id, sa.Text)).where(
            job.status.in_(("succeeded", "cancelled")),
            job.completed_at < utc_now() - older_than,
        )
        rows = await self.session.scalars(ended.limit(_PURGE_BATCH))
        ids = rows.all()
        await self._delete(ids)
        return len(ids)

    async def _delete(self, ids: Sequence[UUID | str]) -> None:
        for table in (self.input, self.output, self.job):
            await self.session.execute(sa.delete(table).where(table.id.in_(ids)))

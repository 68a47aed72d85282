"""Every statement of ours on the engine's tables.

The engine claims jobs, runs them and writes their outcome. What it hasn't: attempts
that wait in the job's own row, and taking over from a worker that died.
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

# A claim is a moment older than its run; one that is older still was never started.
CLAIM_GRACE = timedelta(seconds=10)
_PURGE_BATCH = 1000


class StalledJob(NamedTuple):
    """A job that is marked as running and that nobody runs."""

    id: str
    job: str
    attempts: int
    executor_id: str | None


class JobStore:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = session.get_bind().dialect
        self.job, self.input, self.output = rows_for(self.dialect.name)

    @property
    def _now(self) -> Any:
        """The database's clock where workers may run on several machines."""
        return sa.func.now() if self.dialect.name == "postgresql" else utc_now()

    async def heartbeat(self, executor_id: str) -> None:
        """Say that this worker is alive."""
        known = await self.session.execute(
            sa.update(WorkerHeartbeat)
            .where(WorkerHeartbeat.executor_id == executor_id)
            .values(seen_at=self._now)
        )
        if not known.rowcount:  # type: ignore[attr-defined]  # of an UPDATE it has one
            insert = sa.insert(WorkerHeartbeat)
            await self.session.execute(
                insert.values(executor_id=executor_id, seen_at=self._now)
            )

    async def forget_workers(
        self, executor_id: str, *, dead_for: timedelta | None = None
    ) -> None:
        """Drop a worker's heartbeat, or those of others that died a while ago."""
        statement = sa.delete(WorkerHeartbeat)
        if dead_for is None:
            statement = statement.where(WorkerHeartbeat.executor_id == executor_id)
        else:
            statement = statement.where(WorkerHeartbeat.seen_at < self._now - dead_for)
        await self.session.execute(statement)

    async def find_stalled(
        self, executor_id: str, running: Collection[str], dead_after: timedelta
    ) -> Sequence[StalledJob]:
        """Jobs of workers that died, and claims of this one that it never started.

        A claim is lost when the database dies after it committed it and before it said
        so, or when this worker doesn't know the job.
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
            # As text: a schedule's step is no job of ours and has another kind of id.
            sa.select(
                sa.type_coerce(job.id, sa.Text), job.job, job.attempts, job.executor_id
            ).where(
                job.status == "running",
                sa.or_(job.executor_id.not_in(alive), lost),
            )
        )
        return [StalledJob(*row) for row in rows]

    async def try_later(
        self,
        id_: str,
        executor_id: str | None,
        delay: timedelta,
        error: BaseException | None = None,
    ) -> None:
        """Let a running job wait in the database for its next attempt."""
        values: dict[str, Any] = {"status": "queued", "due_at": None}
        if delay:
            values = {"status": "delayed", "due_at": utc_now() + delay}
        if error is not None:
            values["last_error"] = json.dumps(describe_failure(error))
        await self._release(values, self.job.id == id_, executor_id)

    async def mark_dead(self, stalled: StalledJob, error: BaseException) -> None:
        """Make a dead letter of a job that used up its attempts."""
        values = {
            "status": "dead",
            "last_error": json.dumps(describe_failure(error)),
            "completed_at": utc_now(),
        }
        await self._release(values, self.job.id == stalled.id, stalled.executor_id)

    async def release(self, executor_id: str) -> None:
        """Give a stopping worker's jobs to the others; the attempt doesn't count."""
        values = {"status": "queued", "attempts": self.job.attempts - 1}
        await self._release(values, sa.true(), executor_id)

    async def _release(
        self, values: dict[str, Any], which: Any, executor_id: str | None
    ) -> None:
        """Change running jobs of a worker, unless another has taken them since."""
        job = self.job
        free = {"owner": None, "started_at": None, "updated_at": utc_now()}
        await self.session.execute(
            sa.update(job)
            .where(which, job.status == "running", job.executor_id == executor_id)
            .values({getattr(job, name): v for name, v in {**free, **values}.items()})
        )

    async def retry(self, id_: UUID) -> bool:
        """Give a dead letter all its attempts again; False if it is none."""
        job = self.job
        fresh = {
            job.status: "queued",
            job.attempts: 0,
            job.owner: None,
            job.started_at: None,
            job.completed_at: None,
            job.updated_at: utc_now(),
        }
        dead = job.status.in_(("dead", "cancelled"))
        done = await self.session.execute(
            sa.update(job).where(job.id == id_, dead).values(fresh)
        )
        return bool(done.rowcount)  # type: ignore[attr-defined]  # of an UPDATE

    async def discard(self, id_: UUID) -> bool:
        """Delete a job that isn't running; False if it is, or isn't there."""
        is_idle = await self.lock(id_, self.job.status != "running")
        if is_idle:
            await self._delete([id_])
        return is_idle

    async def lock(self, id_: UUID, *conditions: Any) -> bool:
        """Lock a job's row until the transaction ends; False if there is none."""
        job = self.job
        held = sa.select(job.id).where(job.id == id_, *conditions).with_for_update()
        return (await self.session.execute(held)).first() is not None

    async def purge(self, older_than: timedelta) -> int:
        """Delete what ended well that long ago; returns how many."""
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

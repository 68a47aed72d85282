"""Reads of a job, outside any transaction."""

from datetime import timedelta
from functools import cache

import sqlalchemy as sa

from bedplate.core.clock import utc_now
from bedplate.database import Database
from bedplate.database.query import Statement
from bedplate.jobs.tables import WorkerHeartbeat, rows_for

_STALE = timedelta(seconds=30)
_LIVE = Statement(
    sa.select(WorkerHeartbeat.executor_id)
    .where(
        WorkerHeartbeat.seen_at
        > sa.bindparam("since", type_=WorkerHeartbeat.seen_at.type)
    )
    .limit(sa.literal(1, sa.BigInteger()))
)


async def has_live_worker(database: Database) -> bool:
    """Return whether any worker sent a heartbeat in the last 30 seconds."""
    return bool(await database.fetch(_LIVE, {"since": utc_now() - _STALE}))


async def attempt_of(database: Database, job_id: str) -> int:
    """Return the number of the current attempt at a running job."""
    statement = _attempt(database.dialect.name)
    rows = await database.fetch(statement, {"job_id": job_id})
    return int(rows[0][0])


@cache
def _attempt(dialect: str) -> Statement:
    job, _, _ = rows_for(dialect)
    job_id = sa.bindparam("job_id", type_=sa.Text())
    return Statement(sa.select(job.attempts).where(job.id == job_id))

"""Durable jobs, enqueued by the transaction that causes them.

@job(attempts=8)
async def send_receipt(run: JobRun, order_id: UUID) -> None:
    async with run.unit_of_work() as session:
        order = await OrderService(session).get(order_id)
    await run.runtime.mailer.send(receipt(order, message_id=run.id))

await enqueue(session, send_receipt, order_id=order.id)

A job commits with the session's transaction or not at all, and then runs at least once.
It may run twice, so write it in such a way that a second run does no harm. The engine
is DBOS, with its tables in the same database. Only this package and the worker use it.
"""

from bedplate.jobs.declare import (
    DEFAULT_QUEUE,
    Backoff,
    Job,
    JobError,
    JobRun,
    Queue,
    exponential,
    job,
)
from bedplate.jobs.outbox import JobOutbox, enqueue
from bedplate.jobs.tables import WorkerHeartbeat

__all__ = [
    "DEFAULT_QUEUE",
    "Backoff",
    "Job",
    "JobError",
    "JobOutbox",
    "JobRun",
    "Queue",
    "WorkerHeartbeat",
    "enqueue",
    "exponential",
    "job",
]

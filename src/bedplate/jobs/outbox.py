"""Enqueues jobs: the transaction that causes a job writes its row."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Session as SyncSession
from uuid_utils.compat import uuid7

from bedplate.core.clock import utc_now
from bedplate.database import Database, Session
from bedplate.jobs.declare import Job, JobError

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions

_OUTBOX = "outbox"
_KEYS = UUID("0d8e9f64-3d0b-4a57-9f6c-8f4f1c2f7b11")  # any constant


async def enqueue(
    session: Session,
    job: Job,
    *,
    delay: timedelta | None = None,
    due_at: datetime | None = None,
    key: str | None = None,
    **arguments: Any,
) -> str:
    """Enqueue a job and return its id. It commits with the session's transaction.

    It runs after `delay`, or not before `due_at`. If there is already a job with the
    same `key` that was not purged, nothing is enqueued. Don't pass secrets: arguments
    are stored in plain text.

    Raises:
        JobError: the arguments don't match the job's parameters, no module lists it,
            both `delay` and `due_at` are set, or `due_at` is naive.
    """
    outbox: JobOutbox = session.info[_OUTBOX]
    outbox.check(job)
    id_ = str(uuid7()) if key is None else key_to_id(job, key)
    wait = _wait(delay, due_at)
    await session.run_sync(outbox.write, id_, job, job.dump(arguments), wait)
    return id_


def _wait(delay: timedelta | None, due_at: datetime | None) -> timedelta:
    if delay is not None and due_at is not None:
        raise JobError("pass `delay` or `due_at`, not both")
    if due_at is not None and due_at.tzinfo is None:
        raise JobError("`due_at` has no time zone: pass an aware datetime")
    wait = due_at - utc_now() if due_at else delay or timedelta()
    return max(wait, timedelta())


def key_to_id(job: Job, key: str) -> str:
    """Return the id of a job with a key. The same key always gives the same id."""
    return str(uuid5(_KEYS, f"{job.name}:{key}"))


class JobOutbox:
    """The jobs of an application. Writes enqueued ones with the engine's client."""

    def __init__(self, database: Database, jobs: Sequence[Job]) -> None:
        self.jobs: Mapping[str, Job] = {job.name: job for job in jobs}
        self._url = database.url
        database.session_info[_OUTBOX] = self

    def check(self, job: Job) -> None:
        if self.jobs.get(job.name) is not job:
            raise JobError(
                f"no module lists the job {job.name!r}: add it to a module's `jobs`"
            )

    def write(
        self,
        session: SyncSession,
        id_: str,
        job: Job,
        arguments: dict[str, Any],
        wait: timedelta,
    ) -> None:
        from bedplate.jobs.dbos import WorkflowFormat

        options: EnqueueOptions = {
            "workflow_name": job.name,
            "workflow_id": id_,
            "queue_name": job.queue.name,
            # JSON. The engine's default is pickle, which runs code when it is loaded.
            "serialization_type": WorkflowFormat.PORTABLE,
        }
        if wait:
            options["delay_seconds"] = wait.total_seconds()
        self.client.enqueue_in_transaction(session, options, arguments)

    async def close(self) -> None:
        """Close the engine's connections, if the client was used."""
        if "client" in vars(self):
            await asyncio.to_thread(self.client.destroy)

    @cached_property
    def client(self) -> "DBOSClient":
        """Client of the engine, created at first use: the import takes a second."""
        from bedplate.jobs.dbos import JSON, DBOSClient

        return DBOSClient(
            system_database_url=engine_url(self._url),
            application_name=ENGINE_NAME,
            lazy=True,
            serializer=JSON,
        )


ENGINE_NAME = "bedplate"


def engine_url(url: sa.URL) -> str:
    """Return the URL of our database for the engine's driver."""
    query = dict(url.query)
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")  # `ssl` for asyncpg, `sslmode` for libpq
    return url.set(query=query).render_as_string(hide_password=False)

"""The worker: claims jobs, runs them, retries them and recovers those of dead workers.

The queue is DBOS's. This module adds two things: a failed job waits for its retry in
its row, without occupying a slot, and heartbeats detect workers that died.
"""

import asyncio
import logging
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import sqlalchemy as sa
import structlog

from bedplate.core.errors import PermanentError
from bedplate.database.engines import SQLITE_PRAGMAS, libpq_options
from bedplate.database.sqlite import SqliteConnection
from bedplate.jobs import Job, JobRun, Queue, enqueue
from bedplate.jobs.failures import as_engine_error
from bedplate.jobs.outbox import ENGINE_NAME, engine_url
from bedplate.jobs.status import attempt_of
from bedplate.jobs.store import JobStore, StalledJob
from bedplate.jobs.tables import TICK
from bedplate.migrate import ensure_schema
from bedplate.runtime import Runtime, timeouts_of

if TYPE_CHECKING:
    from dbos import DBOS, DBOSConfig

logger = structlog.get_logger()

BEAT: Final = timedelta(seconds=2)
DEAD_AFTER: Final = timedelta(seconds=8)
_RETURN_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.7  # a poll takes 3 ms per queue
# DBOS runs only jobs of its own version. Ours never changes, so that a deployment
# doesn't strand queued jobs.
_ENGINE_VERSION: Final = "1"
_ATTEMPTS_OF_UNKNOWN_JOBS: Final = 20


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Start a server's runtime, with a worker if the settings have one, and close it.

    Raises:
        SchemaError: PostgreSQL's schema doesn't match this code.
    """
    await ensure_schema(runtime.database, runtime.migrations)
    await runtime.start()
    try:
        async with Worker(runtime) if runtime.settings.runs_worker else nullcontext():
            yield
    finally:
        await runtime.close()


class WorkerDied(Exception):
    """The process ended while it ran the job, at every attempt."""


class Worker:
    """Runs an application's jobs in this process, on the running event loop.

    async with Worker(runtime):
        ...

    A process can have one worker only, since the engine is a singleton.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        queues: Sequence[str] = (),
        concurrency: int | None = None,
    ) -> None:
        self.runtime = runtime
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._concurrency = concurrency or runtime.settings.worker_concurrency
        self._queues = _select_queues(runtime.jobs.jobs.values(), queues)
        self._engine: DBOS | None = None
        self._connections: sa.Engine | None = None
        self._heartbeats: asyncio.Task[None] | None = None
        self._no_recovery_until = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _start(self) -> None:
        # The first heartbeat comes before the first claim, so that other workers don't
        # take this one for dead.
        await self._send_heartbeat()
        self._launch()
        await asyncio.to_thread(self._apply_schedules)
        self._heartbeats = asyncio.create_task(self._send_heartbeats())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait a while for running jobs, then release the others to the queue."""
        await self._stop_engine()
        if self._heartbeats is not None:
            self._heartbeats.cancel()
        with suppress(Exception):  # other workers recover jobs that weren't released
            await self._release_jobs()

    # The engine

    def _launch(self) -> None:
        from bedplate.jobs.dbos import DBOS

        self._register_workflows()
        self._engine = engine = DBOS(config=self._engine_config())
        _redirect_engine_logs()
        for queue in self._queues:
            # Private: a queue in memory, not in the database, since its limits are
            # those of this process.
            engine._registry._register_internal_queue(  # noqa: SLF001, see tests/jobs
                queue.name, **self._limits(queue)
            )
        DBOS.launch()  # called inside the running loop, so that jobs run on it

    def _engine_config(self) -> "DBOSConfig":
        from bedplate.jobs.dbos import JSON

        config: DBOSConfig = {
            "name": ENGINE_NAME,
            "system_database_url": engine_url(self.runtime.database.url),
            "executor_id": self.id,
            "application_version": _ENGINE_VERSION,
            "run_migrations": False,
            "serializer": JSON,  # the default is pickle
            "sys_db_pool_size": 10,
            # LISTEN is for messages between workflows, which jobs don't send. It wakes
            # up a hundred times a second, and doesn't work through a pooler.
            "use_listen_notify": False,
            # A thread polls for the same messages, and a stopping worker waits until it
            # wakes up: up to a second with the engine's default.
            "notification_listener_polling_interval_sec": 0.1,
            "log_level": "WARNING",
        }
        if self.runtime.database.is_sqlite:
            self._connections = _sqlite_engine(self.runtime.database.url)
            config["system_database_engine"] = self._connections
        else:
            config["db_engine_kwargs"] = {"connect_args": self._connect_options()}
        return config

    def _connect_options(self) -> dict[str, Any]:
        settings = self.runtime.settings
        has_pooler = settings.transaction_pooler
        options = libpq_options(timeouts_of(settings), transaction_pooler=has_pooler)
        # A pooler may run the next statement on a connection without the prepared one.
        return {**options, "prepare_threshold": None} if has_pooler else options

    def _limits(self, queue: Queue) -> dict[str, Any]:
        limits: dict[str, Any] = {
            "worker_concurrency": self._concurrency,
            "polling_interval_sec": POLL_SECONDS,
        }
        if queue.concurrency is not None:
            limits["concurrency"] = queue.concurrency
            limits["worker_concurrency"] = min(self._concurrency, queue.concurrency)
        if queue.rate is not None:
            count, period = queue.rate
            limits["limiter"] = {"limit": count, "period": period.total_seconds()}
        return limits

    def _register_workflows(self) -> None:
        for job in self.runtime.jobs.jobs.values():
            _workflow(job.name)(self._workflow_of(job))

        async def tick(due: datetime, context: dict[str, str]) -> None:
            await self._tick(due, context["job"])

        self._tick_workflow = _workflow(TICK)(tick)

    def _workflow_of(self, job: Job) -> Any:
        async def run(arguments: dict[str, Any]) -> None:
            await self._attempt(job, arguments)

        return run

    async def _stop_engine(self) -> None:
        from bedplate.jobs.dbos import DBOS

        if self._engine is None:
            return
        # Private: `destroy` leaves jobs running that exceed the time to stop.
        tasks = self._engine._workflow_tasks  # noqa: SLF001, see tests/jobs
        await self._wait_for_jobs()
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connections is not None:
            await _dispose(self._connections)  # the engine disposes only of its own

    async def _wait_for_jobs(self) -> None:
        """Stop claiming jobs, and wait for those that are running.

        The engine can wait too, but it checks only once a second.
        """
        assert self._engine is not None
        for stop in self._engine.background_thread_stop_events:
            stop.set()
        deadline = time.monotonic() + self.runtime.settings.worker_stop_seconds
        while self._running_ids() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _running_ids(self) -> list[str]:
        assert self._engine is not None
        # Private: the engine has no public list of the jobs that it runs.
        active = self._engine._active_workflows_set  # noqa: SLF001, see tests/jobs
        return list(active.activeList())

    # Jobs

    async def _attempt(self, job: Job, arguments: Mapping[str, Any]) -> None:
        from bedplate.jobs.dbos import DBOS

        id_ = str(DBOS.workflow_id)
        with _without_outcome():
            attempt = await attempt_of(self.runtime.database, id_)
        run = JobRun(self.runtime, id_, attempt)
        try:
            async with asyncio.timeout(job.timeout.total_seconds()):
                await job(run, **job.load(arguments))
        except Exception as error:
            if attempt >= job.attempts or isinstance(error, PermanentError):
                logger.exception("job dead", job=job.name, id=id_, attempt=attempt)
                raise as_engine_error(error) from error
            with _without_outcome():
                await self._retry_later(run, job, error)
                raise  # the row waits for the next attempt: store no outcome

    async def _retry_later(self, run: JobRun, job: Job, error: Exception) -> None:
        wait = job.backoff(run.attempt)
        logger.warning(
            "job failed",
            job=job.name,
            id=run.id,
            attempt=run.attempt,
            retry_in=round(wait.total_seconds(), 1),
            exc_info=error,
        )
        async with self.runtime.database.unit_of_work() as session:
            await JobStore(session).retry_later(run.id, self.id, wait, error)

    async def _tick(self, due: datetime, job_name: str) -> None:
        """Enqueue the job of a schedule, once even if several workers do."""
        job = self.runtime.jobs.jobs.get(job_name)
        if job is not None:
            with _without_outcome():
                async with self.runtime.database.unit_of_work() as session:
                    await enqueue(session, job, key=due.isoformat())

    def _apply_schedules(self) -> None:
        from bedplate.jobs.dbos import DBOS

        scheduled = [job for job in self.runtime.jobs.jobs.values() if job.cron]
        for schedule in DBOS.list_schedules():
            if schedule["schedule_name"] not in {job.name for job in scheduled}:
                DBOS.delete_schedule(schedule["schedule_name"])
        DBOS.apply_schedules(
            [
                {
                    "schedule_name": job.name,
                    "workflow_fn": self._tick_workflow,
                    "schedule": str(job.cron),
                    "cron_timezone": job.timezone,
                    "context": {"job": job.name},
                    # Run the times that passed while no worker was running.
                    "automatic_backfill": True,
                }
                for job in scheduled
            ]
        )

    # Heartbeats and recovery

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            try:
                await self._send_heartbeat()
                await self._recover_stalled()
            except Exception as error:  # noqa: BLE001, heartbeats must not stop
                # The other workers probably couldn't reach the database either, so
                # their old heartbeats don't mean that they died.
                now = asyncio.get_running_loop().time()
                self._no_recovery_until = now + DEAD_AFTER.total_seconds()
                logger.warning("worker heartbeat failed", cause=repr(error))

    async def _send_heartbeat(self) -> None:
        async with self.runtime.database.unit_of_work() as session:
            await JobStore(session).heartbeat(self.id)

    async def _recover_stalled(self) -> None:
        if asyncio.get_running_loop().time() < self._no_recovery_until:
            return
        async with self.runtime.database.unit_of_work() as session:
            store = JobStore(session)
            running_ids = self._running_ids()
            for stalled in await store.find_stalled(self.id, running_ids, DEAD_AFTER):
                await self._recover(store, stalled)

    async def _recover(self, store: JobStore, stalled: StalledJob) -> None:
        job = self.runtime.jobs.jobs.get(stalled.job)
        attempts = job.attempts if job else _ATTEMPTS_OF_UNKNOWN_JOBS
        logger.warning("job recovered", job=stalled.job, id=stalled.id)
        if stalled.attempts >= attempts:
            await store.mark_dead(stalled, WorkerDied(WorkerDied.__doc__))
        else:
            wait = _wait_after_crash(stalled.attempts)
            await store.retry_later(stalled.id, stalled.executor_id, wait)

    async def _release_jobs(self) -> None:
        async with self.runtime.database.unit_of_work() as session:
            store = JobStore(session)
            await store.release(self.id)
            await store.forget_workers(self.id)


async def run_worker(
    runtime: Runtime, *, queues: Sequence[str] = (), concurrency: int | None = None
) -> None:
    """Run jobs until SIGTERM or SIGINT, for `bedplate worker`.

    Raises:
        SchemaError: PostgreSQL's schema doesn't match this code.
    """
    await ensure_schema(runtime.database, runtime.migrations)
    await runtime.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Worker(runtime, queues=queues, concurrency=concurrency) as worker:
        print(f"Worker {worker.id} is running jobs. Stop with Ctrl-C", flush=True)
        await stop.wait()


@contextmanager
def _without_outcome() -> Iterator[None]:
    """Prevent an exception in this block from becoming the job's outcome.

    The engine stores no outcome for a run that was canceled. If the job's row is still
    marked as running, it is recovered as stalled.
    """
    try:
        yield
    except Exception as error:
        raise asyncio.CancelledError from error


def _wait_after_crash(attempts: int) -> timedelta:
    # Retry immediately after the first crash. After that wait a random time, so that a
    # job that crashes its worker doesn't take other jobs down with it.
    if attempts <= 1:
        return timedelta()
    return timedelta(seconds=random.uniform(0, min(60, 2**attempts)))  # noqa: S311


def _select_queues(jobs: Any, names: Sequence[str]) -> list[Queue]:
    queues = {job.queue.name: job.queue for job in jobs}
    return [queues[name] for name in names] if names else list(queues.values())


def _workflow(name: str) -> Any:
    from bedplate.jobs.dbos import DBOS, WorkflowFormat

    return DBOS.workflow(
        name=name,
        serialization_type=WorkflowFormat.PORTABLE,
        max_recovery_attempts=None,  # `_recover` counts attempts
    )


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    """Return an engine for DBOS's connections to our file, configured like ours."""
    engine = sa.create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        connect_args={"factory": SqliteConnection},
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # The driver begins at the first write only. Then two workers could both count
        # the running jobs, find a free slot and claim a job for it.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


async def _dispose(connections: sa.Engine) -> None:
    """Close all connections, once the engine's threads have returned theirs.

    The engine shuts its threads down without waiting for them. A connection that is
    returned to a disposed pool would stay open until it is garbage-collected.
    """
    pool: Any = connections.pool
    deadline = time.monotonic() + _RETURN_SECONDS
    while pool.checkedout() and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    connections.dispose()


def _redirect_engine_logs() -> None:
    """Send the engine's log records to our handlers, without useless ones."""
    engine_logger = logging.getLogger("dbos")
    engine_logger.handlers.clear()
    engine_logger.propagate = True
    engine_logger.addFilter(_is_useful)


def _is_useful(record: logging.LogRecord) -> bool:
    # The engine logs this for each job that waits for a retry: see `_without_outcome`.
    return not record.getMessage().startswith("Asyncio task cancelled")

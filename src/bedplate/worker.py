"""The worker: claims jobs, runs them, tries again, and takes over from the dead.

Its queue is DBOS's. DBOS leaves two things to us: an attempt that failed waits in the
job's row and holds no slot, and a worker that died is noticed by its heartbeat.
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
_GIVE_BACK_SECONDS = 1.0
POLL_SECONDS: Final = 0.7  # 3 ms of work each time, for each queue
# The same for every release: a rolling deploy must not strand queued jobs.
_ENGINE_VERSION: Final = "1"
_UNKNOWN_ATTEMPTS: Final = 20


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """A server's runtime between its start and its stop, with a worker if it has one.

    Raises:
        SchemaError: PostgreSQL's schema is not this code's.
    """
    await ensure_schema(runtime.database, runtime.migrations)
    await runtime.start()
    try:
        async with Worker(runtime) if runtime.settings.runs_worker else nullcontext():
            yield
    finally:
        await runtime.close()


class WorkerDied(Exception):
    """The process ended in the middle of the job, at each of its attempts."""


class Worker:
    """Runs an application's jobs in this process, on the running event loop.

    async with Worker(runtime):
        ...

    One a process: the engine is a singleton.
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
        self._queues = _chosen_queues(runtime.jobs.jobs.values(), queues)
        self._engine: DBOS | None = None
        self._connections: sa.Engine | None = None
        self._beating: asyncio.Task[None] | None = None
        self._distrust_until = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _start(self) -> None:
        await self._beat()
        self._launch()
        await asyncio.to_thread(self._apply_schedules)
        self._beating = asyncio.create_task(self._keep_beating())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what is under way, for a while; hand the rest back."""
        await self._stop_engine()
        if self._beating is not None:
            self._beating.cancel()
        with suppress(Exception):  # what can't be handed back is taken over
            await self._hand_back()

    # The engine

    def _launch(self) -> None:
        from bedplate.jobs.dbos import DBOS

        self._register_workflows()
        self._engine = engine = DBOS(config=self._engine_config())
        _quieten()
        for queue in self._queues:
            # One in memory, not in the database: its limits are this process's own.
            engine._registry._register_internal_queue(  # noqa: SLF001, see tests/jobs
                queue.name, **self._limits(queue)
            )
        DBOS.launch()  # inside the running loop, so jobs run on it

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
            # For messages between workflows, which jobs don't send: it wakes up a
            # hundred times a second, and a pooler doesn't let it through.
            "use_listen_notify": False,
            # Its thread polls for the same messages, sleeps in between, and a stopping
            # worker waits for it: at the engine's default up to a second.
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
        pooled = settings.transaction_pooler
        options = libpq_options(timeouts_of(settings), transaction_pooler=pooled)
        return {**options, "prepare_threshold": None} if pooled else options

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
        tasks = self._engine._workflow_tasks  # noqa: SLF001, see tests/jobs
        await self._let_finish()
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connections is not None:
            await _dispose(self._connections)  # the engine disposes only of its own

    async def _let_finish(self) -> None:
        """Claim no more jobs, and wait for those that run.

        The engine's own way to wait looks once a second.
        """
        assert self._engine is not None
        for stop in self._engine.background_thread_stop_events:
            stop.set()
        deadline = time.monotonic() + self.runtime.settings.worker_stop_seconds
        while self._running() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _running(self) -> list[str]:
        assert self._engine is not None
        active = self._engine._active_workflows_set  # noqa: SLF001, see tests/jobs
        return list(active.activeList())

    # Jobs

    async def _attempt(self, job: Job, arguments: Mapping[str, Any]) -> None:
        from bedplate.jobs.dbos import DBOS

        id_ = str(DBOS.workflow_id)
        with _left_undecided():
            attempt = await attempt_of(self.runtime.database, id_)
        run = JobRun(self.runtime, id_, attempt)
        try:
            async with asyncio.timeout(job.timeout.total_seconds()):
                await job(run, **job.load(arguments))
        except Exception as error:
            if attempt >= job.attempts or isinstance(error, PermanentError):
                logger.exception("job dead", job=job.name, id=id_, attempt=attempt)
                raise as_engine_error(error) from error
            with _left_undecided():
                await self._try_later(run, job, error)
                raise  # the row isn't this run's any more: it waits

    async def _try_later(self, run: JobRun, job: Job, error: Exception) -> None:
        wait = job.backoff(run.attempt)
        logger.warning(
            "job failed",
            job=job.name,
            id=run.id,
            attempt=run.attempt,
            again_in=round(wait.total_seconds(), 1),
            exc_info=error,
        )
        async with self.runtime.database.unit_of_work() as session:
            await JobStore(session).try_later(run.id, self.id, wait, error)

    async def _tick(self, due: datetime, job_name: str) -> None:
        """A schedule's moment: promise its job, once whoever else does too."""
        job = self.runtime.jobs.jobs.get(job_name)
        if job is not None:
            with _left_undecided():
                async with self.runtime.database.unit_of_work() as session:
                    await enqueue(session, job, key=due.isoformat())

    def _apply_schedules(self) -> None:
        from bedplate.jobs.dbos import DBOS

        scheduled = [job for job in self.runtime.jobs.jobs.values() if job.cron]
        for known in DBOS.list_schedules():
            if known["schedule_name"] not in {job.name for job in scheduled}:
                DBOS.delete_schedule(known["schedule_name"])
        DBOS.apply_schedules(
            [
                {
                    "schedule_name": job.name,
                    "workflow_fn": self._tick_workflow,
                    "schedule": str(job.cron),
                    "cron_timezone": job.timezone,
                    "context": {"job": job.name},
                    "automatic_backfill": True,  # ticks that no worker was up for
                }
                for job in scheduled
            ]
        )

    # Life and death

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            try:
                await self._beat()
                await self._take_over()
            except Exception as error:  # noqa: BLE001, whatever it is: beat on
                # Nobody could beat meanwhile, so nobody is dead for that.
                now = asyncio.get_running_loop().time()
                self._distrust_until = now + DEAD_AFTER.total_seconds()
                logger.warning("worker can't say that it lives", cause=repr(error))

    async def _beat(self) -> None:
        async with self.runtime.database.unit_of_work() as session:
            await JobStore(session).heartbeat(self.id)

    async def _take_over(self) -> None:
        if asyncio.get_running_loop().time() < self._distrust_until:
            return
        async with self.runtime.database.unit_of_work() as session:
            store = JobStore(session)
            running = self._running()
            for stalled in await store.find_stalled(self.id, running, DEAD_AFTER):
                await self._recover(store, stalled)

    async def _recover(self, store: JobStore, stalled: StalledJob) -> None:
        job = self.runtime.jobs.jobs.get(stalled.job)
        attempts = job.attempts if job else _UNKNOWN_ATTEMPTS
        logger.warning("job taken over", job=stalled.job, id=stalled.id)
        if stalled.attempts >= attempts:
            await store.mark_dead(stalled, WorkerDied(WorkerDied.__doc__))
        else:
            wait = _wait_after_death(stalled.attempts)
            await store.try_later(stalled.id, stalled.executor_id, wait)

    async def _hand_back(self) -> None:
        async with self.runtime.database.unit_of_work() as session:
            store = JobStore(session)
            await store.release(self.id)
            await store.forget_workers(self.id)


async def run_worker(
    runtime: Runtime, *, queues: Sequence[str] = (), concurrency: int | None = None
) -> None:
    """Run jobs until SIGTERM or SIGINT: what `bedplate worker` does.

    Raises:
        SchemaError: PostgreSQL's schema is not this code's.
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
def _left_undecided() -> Iterator[None]:
    """What fails in here is not the job's outcome.

    The engine writes none for a run that was cancelled. A row that is still marked as
    running is found, as one that nobody runs.
    """
    try:
        yield
    except Exception as error:
        raise asyncio.CancelledError from error


def _wait_after_death(attempts: int) -> timedelta:
    """None at first. Later at random: who kills its worker is to be alone with it."""
    if attempts <= 1:
        return timedelta()
    return timedelta(seconds=random.uniform(0, min(60, 2**attempts)))  # noqa: S311


def _chosen_queues(jobs: Any, names: Sequence[str]) -> list[Queue]:
    queues = {job.queue.name: job.queue for job in jobs}
    return [queues[name] for name in names] if names else list(queues.values())


def _workflow(name: str) -> Any:
    from bedplate.jobs.dbos import DBOS, WorkflowFormat

    return DBOS.workflow(
        name=name,
        serialization_type=WorkflowFormat.PORTABLE,
        max_recovery_attempts=None,  # attempts are counted here
    )


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    """The engine's own connections to our file, set up as ours are."""
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
        # Before the first read: two workers that count what runs, and then claim, would
        # both find room. The driver begins at the first write only.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


async def _dispose(connections: sa.Engine) -> None:
    """Close all connections, once the engine's threads have given theirs back.

    The engine shuts its threads down without waiting for them. A connection that comes
    back to a disposed pool would stay open until the garbage collector finds it.
    """
    pool: Any = connections.pool
    deadline = time.monotonic() + _GIVE_BACK_SECONDS
    while pool.checkedout() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    connections.dispose()


def _quieten() -> None:
    """Send the engine's log lines the way of all others, but for one without news."""
    theirs = logging.getLogger("dbos")
    theirs.handlers.clear()
    theirs.propagate = True
    theirs.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Asyncio task cancelled")

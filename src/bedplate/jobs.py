"""Durable jobs: work that is promised by the transaction that causes it.

@job(attempts=8)
async def send_receipt(run: JobRun, order_id: UUID) -> None:
    async with run.unit_of_work() as session:
        order = await OrderService(session).get(order_id)
    await run.runtime.mailer.send(receipt(order, message_id=run.id))

await enqueue(session, send_receipt, order_id=order.id)

A job runs at least once, after its transaction has committed, and never if that rolled
back. So it may run twice: what it does must bear that.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, overload

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from sqlalchemy import event
from sqlalchemy.orm import Session as SyncSession
from uuid_utils.compat import uuid7

from bedplate.database import Session

if TYPE_CHECKING:
    from bedplate.runtime import Runtime

P = ParamSpec("P")
Backoff = Callable[[int], timedelta]

logger = structlog.get_logger()

_ENGINE = "job engine"
_PROMISED = "promised jobs"
_STOP_SECONDS = 20.0


class JobError(TypeError):
    """A job is declared or enqueued wrongly: a bug, not bad input."""


@dataclass(frozen=True)
class JobRun:
    """One attempt at a job, and a job's first argument."""

    runtime: "Runtime"
    id: str
    """The same for every attempt: what makes a repeat recognisable."""
    attempt: int
    """From 1."""

    def unit_of_work(self) -> AbstractAsyncContextManager[Session]:
        """A transaction, as a request has it; open it for as short as possible."""
        return self.runtime.database.unit_of_work()


def exponential(
    base: timedelta = timedelta(seconds=2), cap: timedelta = timedelta(hours=1)
) -> Backoff:
    """Wait `base`, then twice as long each time, up to `cap`."""
    return lambda attempt: min(cap, base * 2 ** min(attempt - 1, 32))


class Job:
    """A declared job. Calling it calls its function, which is how a test runs one."""

    def __init__(
        self,
        function: Callable[..., Awaitable[None]],
        *,
        attempts: int,
        backoff: Backoff,
        timeout: timedelta,
        queue: str,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.attempts = attempts
        self.backoff = backoff
        self.timeout = timeout
        self.queue = queue
        if not inspect.iscoroutinefunction(function):
            raise JobError(f"the job {self.name!r} must be an async function")

    def __call__(self, run: JobRun, **arguments: Any) -> Awaitable[None]:
        return self.function(run, **arguments)

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """The model of the arguments, made when a job is first enqueued or run."""
        parameters = list(
            inspect.signature(self.function, eval_str=True).parameters.values()
        )[1:]
        fields: Any = {
            p.name: (p.annotation, ... if p.default is p.empty else p.default)
            for p in parameters
        }
        return create_model(self.name, __config__=ConfigDict(extra="forbid"), **fields)

    def dump(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as JSON holds them.

        Raises:
            JobError: they are not what the job declares.
        """
        try:
            return self._arguments(**arguments).model_dump(mode="json")
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_context=False)
            told = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in wrong)
            raise JobError(f"arguments of the job {self.name!r}: {told}") from None

    def load(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function wants them, from their JSON."""
        return dict(self._arguments(**stored))


Function = Callable[Concatenate[JobRun, P], Awaitable[None]]


@overload
def job(function: Function[P], /) -> Job: ...
@overload
def job(
    *,
    attempts: int = ...,
    backoff: Backoff = ...,
    timeout: timedelta = ...,
    queue: str = ...,
) -> Callable[[Function[P]], Job]: ...
def job(
    function: Callable[..., Awaitable[None]] | None = None,
    /,
    *,
    attempts: int = 8,
    backoff: Backoff | None = None,
    timeout: timedelta = timedelta(minutes=5),
    queue: str = "default",
) -> Job | Callable[..., Job]:
    """Make an async function a job; list it in a module's `jobs`.

    An attempt that raises, or takes longer than `timeout`, is made again after
    `backoff(attempt)`, up to `attempts` in all.
    """

    def declare(function: Callable[..., Awaitable[None]]) -> Job:
        return Job(
            function,
            attempts=attempts,
            backoff=backoff or exponential(),
            timeout=timeout,
            queue=queue,
        )

    return declare if function is None else declare(function)


async def enqueue(
    session: Session,
    job: Job,
    *,
    delay: timedelta | None = None,
    key: str | None = None,
    **arguments: Any,
) -> str:
    """Promise a job: it commits with the session's transaction, or not at all.

    Of several with the same `key` only the first is kept. Secrets don't belong in the
    arguments, which lie in the database in plain. Returns the job's id.

    Raises:
        JobError: the arguments are not what the job declares, or no module lists it.
    """
    engine: InProcessEngine = session.info[_ENGINE]
    engine.check(job)
    stored = job.dump(arguments)
    id_ = f"{job.name}:{key}" if key else str(uuid7())
    await session.connection()  # from here on there is a transaction to commit
    promised = _Promise(id_, job, stored, delay or timedelta())
    await session.run_sync(engine.promise, promised)
    return id_


@dataclass(frozen=True)
class _Promise:
    id: str
    job: Job
    arguments: dict[str, Any]
    delay: timedelta


class InProcessEngine:
    """Runs jobs as tasks of this process, which a crash loses."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._closing = asyncio.Event()
        self._runtime: Runtime | None = None

    def attach(self, runtime: "Runtime") -> None:
        """Serve the sessions of this runtime's database."""
        self._runtime = runtime
        runtime.database.session_info[_ENGINE] = self

    def check(self, job: Job) -> None:
        if self._jobs.get(job.name) is not job:
            raise JobError(f"no module lists the job {job.name!r}")

    def promise(self, session: SyncSession, promised: _Promise) -> None:
        """Start it once the session's transaction has committed."""
        if _PROMISED not in session.info:
            session.info[_PROMISED] = []
            event.listen(session, "after_commit", self._start_promised)
            event.listen(session, "after_rollback", _forget_promised)
        session.info[_PROMISED].append(promised)

    def _start_promised(self, session: SyncSession) -> None:
        if session.in_nested_transaction():
            return  # a savepoint was released; the transaction goes on
        for promised in session.info[_PROMISED]:
            if promised.id not in self._seen:
                self._seen.add(promised.id)
                task = asyncio.get_running_loop().create_task(self._run(promised))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        session.info[_PROMISED].clear()

    async def _run(self, promised: _Promise) -> None:
        wait = promised.delay
        for attempt in range(1, promised.job.attempts + 1):
            if wait and await self._closed_within(wait):
                return
            if await self._attempt(promised, attempt):
                return
            wait = promised.job.backoff(attempt)

    async def _attempt(self, promised: _Promise, attempt: int) -> bool:
        assert self._runtime is not None
        run = JobRun(self._runtime, promised.id, attempt)
        job = promised.job
        try:
            async with asyncio.timeout(job.timeout.total_seconds()):
                await job(run, **job.load(promised.arguments))
        except Exception:
            logger.exception("job failed", job=job.name, id=run.id, attempt=attempt)
            return False
        return True

    async def _closed_within(self, wait: timedelta) -> bool:
        try:
            await asyncio.wait_for(self._closing.wait(), wait.total_seconds())
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Finish what is under way."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
        for task in self._tasks:
            task.cancel()


def _forget_promised(session: SyncSession) -> None:
    session.info[_PROMISED].clear()

"""What a job is: a function, its arguments, and how it is tried."""

import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, overload

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from bedplate.database import Session

if TYPE_CHECKING:
    from bedplate.runtime import Runtime

P = ParamSpec("P")
Backoff = Callable[[int], timedelta]

_RESERVED = {"session", "job", "delay", "due_at", "key"}


class JobError(TypeError):
    """A job is declared or enqueued wrongly: a bug, not bad input."""


@dataclass(frozen=True)
class JobRun:
    """One attempt at a job, and a job's first argument."""

    runtime: "Runtime"
    id: str
    """The same for every attempt: what makes a repeat recognizable."""
    attempt: int
    """From 1. An attempt that its process didn't survive counts."""

    def unit_of_work(self) -> AbstractAsyncContextManager[Session]:
        """A transaction, as a request has it; open it for as short as possible."""
        return self.runtime.database.unit_of_work()


@dataclass(frozen=True)
class Queue:
    """Jobs that share limits, which hold over all workers together."""

    name: str
    concurrency: int | None = None
    """How many run at once."""
    rate: tuple[int, timedelta] | None = None
    """How many start in how long."""


DEFAULT_QUEUE = Queue("default")


def exponential(
    base: timedelta = timedelta(seconds=2), cap: timedelta = timedelta(hours=1)
) -> Backoff:
    """Wait `base`, then twice as long each time, up to `cap`.

    Give or take a quarter, so that what failed together isn't tried together.
    """

    def wait(attempt: int) -> timedelta:
        even = min(cap, base * (1 << min(attempt - 1, 32)))
        return even * random.uniform(0.75, 1.25)  # noqa: S311, no secret

    return wait


class Job:
    """A declared job. Calling it calls its function, which is how a test runs one."""

    def __init__(
        self,
        function: Callable[..., Awaitable[None]],
        *,
        attempts: int,
        backoff: Backoff,
        timeout: timedelta,
        queue: Queue,
        cron: str | None,
        timezone: str,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.attempts = attempts
        self.backoff = backoff
        self.timeout = timeout
        self.queue = queue
        self.cron = cron
        self.timezone = timezone
        self._check()

    def _check(self) -> None:
        if not inspect.iscoroutinefunction(self.function):
            raise JobError(f"the job {self.name!r} must be an async function")
        taken = _RESERVED & inspect.signature(self.function).parameters.keys()
        if taken:
            raise JobError(f"{min(taken)!r} of {self.name!r} is an option of `enqueue`")

    def __call__(self, run: JobRun, **arguments: Any) -> Awaitable[None]:
        return self.function(run, **arguments)

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """The model of the arguments, made when a job is first enqueued or run."""
        signature = inspect.signature(self.function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
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
    queue: str | Queue = ...,
    cron: str | None = ...,
    timezone: str = ...,
) -> Callable[[Function[P]], Job]: ...
def job(
    function: Callable[..., Awaitable[None]] | None = None,
    /,
    *,
    attempts: int = 8,
    backoff: Backoff | None = None,
    timeout: timedelta = timedelta(minutes=5),
    queue: str | Queue = DEFAULT_QUEUE,
    cron: str | None = None,
    timezone: str = "UTC",
) -> Job | Callable[..., Job]:
    """Make an async function a job; list it in a module's `jobs`.

    An attempt that raises, or takes longer than `timeout`, is made again after
    `backoff(attempt)`, up to `attempts` in all. With `cron` (five fields, or six with
    the seconds first) it also runs at those times, once however many workers there are.
    """

    def declare(function: Callable[..., Awaitable[None]]) -> Job:
        return Job(
            function,
            attempts=attempts,
            backoff=backoff or exponential(),
            timeout=timeout,
            queue=Queue(queue) if isinstance(queue, str) else queue,
            cron=cron,
            timezone=timezone,
        )

    return declare if function is None else declare(function)

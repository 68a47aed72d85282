"""Declares jobs: a function with arguments, attempts, a queue and a schedule."""

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
    """A job is declared or enqueued incorrectly: a bug, not invalid input."""


@dataclass(frozen=True)
class JobRun:
    """One attempt at a job. It is the first argument of the job's function."""

    runtime: "Runtime"
    id: str
    """The job's id, the same for every attempt. Use it to detect repeats."""
    attempt: int
    """The number of this attempt, from 1. Attempts that crashed the process count."""

    def unit_of_work(self) -> AbstractAsyncContextManager[Session]:
        """Return a unit of work, as in a request. Keep it as short as possible."""
        return self.runtime.database.unit_of_work()


@dataclass(frozen=True)
class Queue:
    """A group of jobs with shared limits, which apply to all workers together."""

    name: str
    concurrency: int | None = None
    """The number of jobs that may run at the same time."""
    rate: tuple[int, timedelta] | None = None
    """The number of jobs that may start within a period."""


DEFAULT_QUEUE = Queue("default")


def exponential(
    base: timedelta = timedelta(seconds=2), cap: timedelta = timedelta(hours=1)
) -> Backoff:
    """Return a backoff of `base` that doubles with each attempt, up to `cap`.

    It varies by a quarter, so that jobs that failed together are not retried together.
    """

    def wait(attempt: int) -> timedelta:
        exact = min(cap, base * (1 << min(attempt - 1, 32)))
        return exact * random.uniform(0.75, 1.25)  # noqa: S311, not a secret

    return wait


class Job:
    """A declared job. Tests can call it: that calls its function directly."""

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
        reserved = _RESERVED & inspect.signature(self.function).parameters.keys()
        if reserved:
            raise JobError(
                f"the job {self.name!r} has a parameter {min(reserved)!r}, which is an "
                "option of `enqueue`: rename it"
            )

    def __call__(self, run: JobRun, **arguments: Any) -> Awaitable[None]:
        return self.function(run, **arguments)

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """Model of the arguments, created when a job is first enqueued or run."""
        signature = inspect.signature(self.function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
        fields: Any = {
            p.name: (p.annotation, ... if p.default is p.empty else p.default)
            for p in parameters
        }
        return create_model(self.name, __config__=ConfigDict(extra="forbid"), **fields)

    def dump(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Convert arguments to JSON values.

        Raises:
            JobError: they don't match the job's parameters.
        """
        try:
            return self._arguments(**arguments).model_dump(mode="json")
        except ValidationError as error:
            errors = error.errors(include_input=False, include_context=False)
            message = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in errors)
            raise JobError(f"arguments of the job {self.name!r}: {message}") from None

    def load(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Convert stored JSON values to the types of the function's parameters."""
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
    """Declare an async function as a job. List it in a module's `jobs`.

    An attempt that raises, or takes longer than `timeout`, is retried after
    `backoff(attempt)`, up to `attempts` in total. With `cron` (five fields, or six with
    the seconds first) it also runs at those times, once for all workers together.
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

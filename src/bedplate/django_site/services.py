"""Calls services from Django. They are async, and the only writers.

user = call_service(UserService, lambda users: users.get(user_id, caller))

Services run on one event loop with one runtime, because a connection pool belongs to
its loop. Beside FastAPI it is FastAPI's loop, so that both share one pool and, on
SQLite, one queue of writers. In a separate Django process a thread runs the loop.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from bedplate.core.errors import APIError
from bedplate.core.request_log import add_to_request_log
from bedplate.database import Session
from bedplate.django_site.conf import bedplate_settings, installed_modules
from bedplate.runtime import Runtime

S = TypeVar("S")
T = TypeVar("T")

MakeService = Callable[[Session, Runtime], S]


class Host(NamedTuple):
    """A running event loop, and the runtime whose connections belong to it."""

    runtime: Runtime
    loop: asyncio.AbstractEventLoop

    def submit(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """Return a future for async code, to be awaited on any loop."""
        submitted = asyncio.run_coroutine_threadsafe(work, self.loop)
        return asyncio.wrap_future(submitted)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine from sync code, and wait for its result.

        Raises:
            RuntimeError: called on the loop itself, which would deadlock.
        """
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001, the public function raises without a loop
            work.close()
            raise RuntimeError(
                "call_service blocks. In async code, await acall_service."
            )
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


_lock = threading.Lock()
_host: Host | None = None


def attach(host: Host | None) -> None:
    """Run services on this host from now on, or with None on a thread's."""
    global _host  # noqa: PLW0603, one for each process, like Django
    _host = host


# A forked child inherits the memory of the thread, but not the thread.
os.register_at_fork(after_in_child=partial(attach, None))


def host() -> Host:
    """Return the attached host, or start one on a thread of this process."""
    with _lock:  # or two threads would start a host each
        if _host is None:
            attach(_start_host())
        assert _host is not None
        return _host


def _start_host() -> Host:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="services", daemon=True).start()
    started = Host(Runtime.make(bedplate_settings(), installed_modules()), loop)
    started.run(started.runtime.start())
    return started


def call_service(service: MakeService[S], act: Callable[[S], Awaitable[T]]) -> T:
    """Call a service in a unit of work, commit, and return the result of `act`.

    Raises:
        APIError: an error of the service; nothing was written.
    """
    return in_unit_of_work(lambda session, runtime: act(service(session, runtime)))


def in_unit_of_work(act: Callable[[Session, Runtime], Awaitable[T]]) -> T:
    """Run `act` in a unit of work, commit, and return its result.

    Raises:
        APIError: an error of a service; nothing was written.
    """
    current = host()
    return current.run(_in_unit_of_work(current.runtime, act))


async def acall_service(service: MakeService[S], act: Callable[[S], Awaitable[T]]) -> T:
    """Do the same as `call_service`, in async code."""
    current = await asyncio.to_thread(host)  # in a thread: the first call starts it
    work = _in_unit_of_work(
        current.runtime, lambda session, runtime: act(service(session, runtime))
    )
    return await current.submit(work)


async def _in_unit_of_work(
    runtime: Runtime, act: Callable[[Session, Runtime], Awaitable[T]]
) -> T:
    try:
        async with runtime.database.unit_of_work() as session:
            return await act(session, runtime)
    except APIError as error:
        # A form shows the error with status 200, so only the log line has its code.
        add_to_request_log(code=error.code)
        raise

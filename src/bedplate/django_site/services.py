"""The way from Django to the services, which are async and the only writers.

user = call_service(UserService, lambda users: users.get(user_id, caller))

Services run on one event loop with one runtime, since a pool of connections belongs to
its loop. Beside FastAPI these are FastAPI's own, so that both share one pool and, on
SQLite, one queue of writers. In a Django process of its own a thread has them.
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
    """A running loop, and the runtime whose connections belong to it."""

    runtime: Runtime
    loop: asyncio.AbstractEventLoop

    def submit(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """For async code: to be awaited on any loop."""
        submitted = asyncio.run_coroutine_threadsafe(work, self.loop)
        return asyncio.wrap_future(submitted)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """For sync code: wait for it.

        Raises:
            RuntimeError: on the loop itself, which would wait for ever.
        """
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001, public but for None
            work.close()
            raise RuntimeError("in async code await `acall_service`")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


_lock = threading.Lock()
_host: Host | None = None


def attach(host: Host | None) -> None:
    """Run services on this host from now on; None: on one of our own."""
    global _host  # noqa: PLW0603, Django is one a process, and so is this
    _host = host


# A child has the memory of our thread, but not the thread.
os.register_at_fork(after_in_child=partial(attach, None))


def host() -> Host:
    """The one that was attached, or one of this process's own, made when needed."""
    with _lock:
        if _host is None:
            attach(_own_host())
        assert _host is not None
        return _host


def _own_host() -> Host:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="services", daemon=True).start()
    made = Host(Runtime.make(bedplate_settings(), installed_modules()), loop)
    made.run(made.runtime.start())
    return made


def call_service(service: MakeService[S], act: Callable[[S], Awaitable[T]]) -> T:
    """What `act` returns of a service, in a unit of work that is committed by then.

    Raises:
        APIError: what the service refuses; nothing was written.
    """
    return in_unit_of_work(lambda session, runtime: act(service(session, runtime)))


def in_unit_of_work(act: Callable[[Session, Runtime], Awaitable[T]]) -> T:
    """What `act` returns, once its unit of work is committed.

    Raises:
        APIError: a refusal; nothing was written.
    """
    current = host()
    return current.run(_in_unit_of_work(current.runtime, act))


async def acall_service(service: MakeService[S], act: Callable[[S], Awaitable[T]]) -> T:
    """`call_service` for async code."""
    current = await asyncio.to_thread(host)  # the first may have to be made
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
        # A form shows it under a 200: the log line is where the code can be read.
        add_to_request_log(code=error.code)
        raise

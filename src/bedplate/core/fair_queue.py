"""A bounded pool of threads that serves its clients in turn."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from bedplate.core.errors import ServiceUnavailable

T = TypeVar("T")
_Call = tuple["Future[Any]", Callable[[], Any]]


class FairQueue:
    """Runs calls in threads. Keys with waiting calls are served round-robin.

    However many calls wait under one key, they delay a call of another key by at most
    one call per round. Event loops and threads may share a queue.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_per_key: int,
        max_waiting: int,
        timeout: float,
        name: str,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._idle = threads
        self._max_per_key = max_per_key
        self._max_waiting = max_waiting
        self._timeout = timeout  # seconds
        # Reentrant: canceling a future calls `_forget` in the same thread.
        self._lock = threading.RLock()
        # The first key is served next and then moves to the end.
        self._waiting: dict[str, deque[_Call]] = {}
        self._count = 0

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a thread."""
        return self._count

    async def run(self, key: str, function: Callable[..., T], *args: Any) -> T:
        """Run a function in a thread and return its result.

        A call whose caller is canceled leaves the queue.

        Raises:
            ServiceUnavailable: too many calls wait, or this one took too long.
        """
        future = self._submit(key, partial(function, *args))
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise ServiceUnavailable from None

    def run_blocking(self, key: str, function: Callable[..., T], *args: Any) -> T:
        """Do the same as `run`, for a thread that may block.

        Raises:
            ServiceUnavailable: too many calls wait, or this one took too long.
        """
        future = self._submit(key, partial(function, *args))
        try:
            return future.result(self._timeout)
        except TimeoutError:
            future.cancel()
            raise ServiceUnavailable from None

    def _submit(self, key: str, call: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._lock:
            calls = self._waiting.get(key, ())
            if self._count >= self._max_waiting or len(calls) >= self._max_per_key:
                raise ServiceUnavailable
            self._waiting.setdefault(key, deque()).append((future, call))
            self._count += 1
            if self._idle:
                self._idle -= 1
                self._pool.submit(self._work)
        future.add_done_callback(partial(self._forget, key))
        return future

    def _forget(self, key: str, future: "Future[Any]") -> None:
        """Remove a canceled call from the queue."""
        if not future.cancelled():
            return
        with self._lock:
            calls = self._waiting.get(key, deque())
            call = next((call for call in calls if call[0] is future), None)
            if call is not None:
                calls.remove(call)
                self._count -= 1
            if not calls:
                self._waiting.pop(key, None)

    def _work(self) -> None:
        """Run waiting calls, in a thread of the pool, until the queue is empty."""
        while (next_call := self._pop()) is not None:
            future, call = next_call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001, the caller raises it
                future.set_exception(error)
            else:
                future.set_result(result)

    def _pop(self) -> _Call | None:
        with self._lock:
            key = next(iter(self._waiting), None)
            if key is None:
                self._idle += 1
                return None
            calls = self._waiting.pop(key)
            call = calls.popleft()
            if calls:
                self._waiting[key] = calls  # at the end
            self._count -= 1
            return call

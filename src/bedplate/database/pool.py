"""A pool that notices when a task asks for a second connection while it has one.

Under load each of many such tasks holds one connection and waits for another, until all
of them time out: of 60 creating requests at once 49 were answered 503. On SQLite, with
its one writer, a single such task waits for itself.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import event
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

logger = structlog.get_logger()

_HOLDER = "holder"


class SecondConnection(RuntimeError):
    """A task that holds a connection asked for another one."""

    def __init__(self) -> None:
        super().__init__(
            "this code holds a database connection and asks for a second one; under "
            "load both would be waited for in vain. Count limits and open another unit "
            "of work before the session's first statement, or roll the session back "
            "first"
        )


class OneConnectionPool(AsyncAdaptedQueuePool):
    """One connection for each task: a second one raises, or is logged in production."""

    is_strict = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        event.listen(self, "checkout", self._note_checkout)
        event.listen(self, "checkin", self._note_checkin)

    def _do_get(self) -> ConnectionPoolEntry:
        # Before it waits: SQLAlchemy has no event for this moment.
        task = _current_task()
        if task is not None and self._held.get(task):
            if self.is_strict:
                raise SecondConnection
            logger.warning("second connection", stack_info=True)
        return super()._do_get()

    def _note_checkout(
        self, _connection: Any, record: ConnectionPoolEntry, _proxy: Any
    ) -> None:
        task = _current_task()
        if task is not None:
            record.info[_HOLDER] = task
            self._held[task] = self._held.get(task, 0) + 1

    def _note_checkin(self, _connection: Any, record: ConnectionPoolEntry) -> None:
        # Not the current task's: a session is closed by another one, which is shielded.
        task = record.info.pop(_HOLDER, None)
        if task is None:
            return
        self._held[task] -= 1
        if not self._held[task]:
            del self._held[task]


class WarningPool(OneConnectionPool):
    """For production: a request that would succeed is not refused."""

    is_strict = False


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None

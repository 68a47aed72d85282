"""A pool that detects a task that requests a second connection while it holds one.

Under load many such tasks each hold a connection and wait for another, until all of
them time out: of 60 concurrent POST requests, 49 got a 503. On SQLite, which has one
connection for writing, a single such task waits for itself.
"""

import asyncio
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

logger = structlog.get_logger()


class SecondConnection(RuntimeError):
    """A task that holds a connection requested another one."""

    def __init__(self) -> None:
        super().__init__(
            "This code holds a database connection and requests a second one. Under "
            "load, such tasks wait for each other until they time out. Count limits "
            "and open another unit of work before the session's first statement, or "
            "roll the session back first."
        )


class OneConnectionPool(AsyncAdaptedQueuePool):
    """A pool for one connection per task. A second one raises, or logs a warning."""

    is_strict = True
    # Private: the name of the logger, in the namespace of SQLAlchemy's other pools.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.OneConnectionPool"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._holders: dict[ConnectionPoolEntry, asyncio.Task[Any]] = {}
        event.listen(self, "checkout", self._add_holder)
        for name in ("checkin", "invalidate"):
            event.listen(self, name, self._remove_holder)

    def _do_get(self) -> ConnectionPoolEntry:
        # Private, but SQLAlchemy has no event for the moment before it waits.
        task = _current_task()
        if task is not None and task in self._holders.values():
            if self.is_strict:
                raise SecondConnection
            logger.warning("second connection", stack_info=True)
        return super()._do_get()

    def _add_holder(
        self, _connection: Any, record: ConnectionPoolEntry, _proxy: Any
    ) -> None:
        if (task := _current_task()) is not None:
            self._holders[record] = task

    def _remove_holder(
        self, _connection: Any, record: ConnectionPoolEntry, *_error: Any
    ) -> None:
        # By record, not by task: `asyncio.shield` closes a session in another task.
        self._holders.pop(record, None)


class WarningPool(OneConnectionPool):
    """For production: logs a warning, so that a request can still succeed."""

    is_strict = False


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None

"""A pool that notices when a task asks for a second connection while it has one.

Under load each of many such tasks holds one connection and waits for another, until all
of them time out: of 60 creating requests at once 49 were answered 503. On SQLite, with
its one writer, a single such task waits for itself.
"""

import asyncio
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

logger = structlog.get_logger()


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
    # Logged as SQLAlchemy's other pools are.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.OneConnectionPool"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._holders: dict[ConnectionPoolEntry, asyncio.Task[Any]] = {}
        event.listen(self, "checkout", self._note_holder)
        for name in ("checkin", "invalidate"):
            event.listen(self, name, self._forget_holder)

    def _do_get(self) -> ConnectionPoolEntry:
        # Before it waits: SQLAlchemy has no event for this moment.
        task = _current_task()
        if task is not None and task in self._holders.values():
            if self.is_strict:
                raise SecondConnection
            logger.warning("second connection", stack_info=True)
        return super()._do_get()

    def _note_holder(
        self, _connection: Any, record: ConnectionPoolEntry, _proxy: Any
    ) -> None:
        if (task := _current_task()) is not None:
            self._holders[record] = task

    def _forget_holder(
        self, _connection: Any, record: ConnectionPoolEntry, *_error: Any
    ) -> None:
        # Not by the current task, which may be another: a session is closed shielded.
        self._holders.pop(record, None)


class WarningPool(OneConnectionPool):
    """For production: a request that would succeed is not refused."""

    is_strict = False


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None

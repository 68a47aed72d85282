"""DBOS, restricted to decoding JSON. All other code imports DBOS from here.

DBOS decodes a row with the serializer that the row names, whichever one is configured.
A row with `py_pickle` runs the code in its pickle (CWE-502), so anyone who can write to
the database could run code in the worker.
"""

from typing import Any

import structlog
from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    WorkflowSerializationFormat,
    _queue,
    _serialization,
)
from dbos import _migration as migrations

__all__ = [
    "DBOS",
    "JSON",
    "DBOSClient",
    "SerializationRefused",
    "WorkflowFormat",
    "migrations",
]

logger = structlog.get_logger()

JSON = DBOSPortableJSONSerializer()
WorkflowFormat = WorkflowSerializationFormat
# The engine's own steps, such as those of a schedule, have NULL, which means the
# configured serializer.
_ACCEPTED = (JSON.name(), None)


class SerializationRefused(ValueError):
    """A job's row is not stored as JSON, so it was not decoded."""


def _refuse(_serializer: Any, _stored: str) -> Any:
    raise SerializationRefused("a pickle is never decoded, only JSON is")


# Private, but the only place where DBOS loads pickles: all inputs, outputs, errors,
# steps, events, messages and streams are decoded here, in workers and in clients.
_serialization.DefaultSerializer.deserialize = _refuse  # type: ignore[assignment]

_engine: Any = _queue
_start = _engine.execute_dequeued_workflow


def _start_if_json(dbos: Any, status: Any, owner_xid: str) -> Any:
    """Start a claimed job, or mark it dead if its row is not JSON.

    DBOS itself would store the error with the row's serializer: as a pickle, or not at
    all if it has no such serializer, and then the job would stay running forever.
    """
    if status["serialization"] in _ACCEPTED:
        return _start(dbos, status, owner_xid)
    error = SerializationRefused(
        f"The job is stored as {status['serialization'][:40]!r}, and only "
        f"{JSON.name()!r} is decoded. Discard it, and find out who wrote it."
    )
    id_ = status["workflow_uuid"]
    logger.error("job refused", job=status["name"], id=id_, error=str(error))
    failure = JSON.serialize({"name": type(error).__name__, "message": str(error)})
    # Private: DBOS has no public way to set the outcome of a job that didn't run.
    return dbos._sys_db.update_workflow_outcome(  # noqa: SLF001, see tests/jobs
        id_, "ERROR", error=failure, owner_xid=owner_xid
    )


# Private: DBOS has no hook between claiming a job and decoding its row.
_engine.execute_dequeued_workflow = _start_if_json

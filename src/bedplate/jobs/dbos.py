"""DBOS, decoding JSON only. Everything else imports DBOS from here.

DBOS decodes a row as the row itself says, whatever serializer it is configured with. A
row that says `py_pickle` runs the code that it holds (CWE-502), so whoever can write to
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
# The engine's own steps, such as those of a schedule, have NULL: as it is configured.
_DECODED = (JSON.name(), None)


class SerializationRefused(ValueError):
    """A job's row is stored as something else than JSON, so it was not decoded."""


def _refuse(_serializer: Any, _stored: str) -> Any:
    raise SerializationRefused("a pickle is never decoded, only JSON is")


# The only place of DBOS where a pickle is loaded: what it reads of inputs, outputs,
# errors, steps, events, messages and streams, in workers and clients, comes by here.
_serialization.DefaultSerializer.deserialize = _refuse  # type: ignore[assignment]

_engine: Any = _queue
_start = _engine.execute_dequeued_workflow


def _start_if_json(dbos: Any, status: Any, owner_xid: str) -> Any:
    """Start a claimed job, or make it a dead letter if its row is not JSON.

    DBOS itself would write the error down as the row says: as a pickle, or not at all
    where it doesn't know the serialization, which leaves the job running for ever.
    """
    if status["serialization"] in _DECODED:
        return _start(dbos, status, owner_xid)
    error = SerializationRefused(
        f"its row is stored as {status['serialization'][:40]!r}, and only "
        f"{JSON.name()!r} is decoded: discard it, and find out who wrote it"
    )
    id_ = status["workflow_uuid"]
    logger.error("job refused", job=status["name"], id=id_, error=str(error))
    written = JSON.serialize({"name": type(error).__name__, "message": str(error)})
    return dbos._sys_db.update_workflow_outcome(  # noqa: SLF001, see tests/jobs
        id_, "ERROR", error=written, owner_xid=owner_xid
    )


_engine.execute_dequeued_workflow = _start_if_json

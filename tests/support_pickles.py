"""Rows of the job engine that run code if they are unpickled."""

import base64
import pickle
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bedplate.database import Session
from bedplate.jobs.store import JobStore


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def bomb(mark: Path) -> str:
    """Return a pickle, encoded as the engine stores it, that creates a file."""
    return base64.b64encode(pickle.dumps(_Bomb(mark))).decode()


async def plant(
    session: Session, job_id: str, mark: Path, serialization: str, **status: Any
) -> None:
    """Write a bomb to every column of a job that the engine decodes."""
    store = JobStore(session)
    payload = bomb(mark)
    await _write(store, "workflow_input", job_id, inputs=payload)
    await _write(store, "workflow_output", job_id, output=payload, error=payload)
    columns = {"inputs": payload, "output": payload, "error": payload}
    values = {**columns, "serialization": serialization, **status}
    await _write(store, "workflow_status", job_id, **values)


async def _write(store: JobStore, name: str, job_id: str, **values: Any) -> None:
    """Overwrite these columns of a job's row, or insert the row."""
    key = {"workflow_uuid": job_id}
    columns: list[sa.ColumnClause[Any]] = [
        sa.column(column) for column in (*key, *values)
    ]
    table = sa.table(name, *columns, schema=store.job.__table__.schema)
    of_job = table.c.workflow_uuid == job_id
    result: Any = await store.session.execute(
        sa.update(table).where(of_job).values(values)
    )
    if not result.rowcount:
        await store.session.execute(sa.insert(table).values(key | values))

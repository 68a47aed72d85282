"""Mappings of the engine's tables, and our own table of worker heartbeats.

The engine (DBOS) creates and migrates its tables. On PostgreSQL they have a separate
schema, on SQLite they are in the same file as ours.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bedplate.database import Base

ENGINE_SCHEMA: Final = "dbos"
TICK: Final = "bedplate_tick"
"""The workflow that the engine runs at each time of a schedule. It enqueues the job."""
# On SQLite our tables must not use these names, which are the engine's.
ENGINE_TABLES: Final = frozenset(
    (
        "application_versions",
        "dbos_migrations",
        "notifications",
        "operation_outputs",
        "queues",
        "streams",
        "workflow_events",
        "workflow_events_history",
        "workflow_input",
        "workflow_output",
        "workflow_schedules",
        "workflow_status",
    )
)
STATUSES: Final = {
    "queued": "ENQUEUED",
    "delayed": "DELAYED",
    "running": "PENDING",
    "succeeded": "SUCCESS",
    "dead": "ERROR",
    "cancelled": "CANCELLED",
}


class WorkerHeartbeat(Base):
    """The last heartbeat of a worker. If it is old, other workers recover its jobs."""

    __tablename__ = "worker_heartbeats"

    executor_id: Mapped[str] = mapped_column(sa.String(120), primary_key=True)
    seen_at: Mapped[datetime]


class JobId(sa.TypeDecorator[UUID]):
    """A job's id, which the engine stores as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self, value: UUID | str | None, dialect: sa.Dialect
    ) -> str | None:
        return None if value is None else str(value)

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> UUID | None:
        return None if value is None else UUID(value)

    @property
    def python_type(self) -> type[UUID]:
        return UUID


class EpochMilliseconds(sa.TypeDecorator[datetime]):
    """An instant, which the engine stores in milliseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: sa.Dialect
    ) -> int | None:
        return None if value is None else int(value.timestamp() * 1000)

    def process_result_value(
        self, value: int | None, dialect: sa.Dialect
    ) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)

    @property
    def python_type(self) -> type[datetime]:
        return datetime


class JobStatus(sa.TypeDecorator[str]):
    """A job's status: the engine's name in the database, our name in Python."""

    impl = sa.Text
    cache_ok = True
    _by_engine_name = {stored: status for status, stored in STATUSES.items()}

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else STATUSES[value]

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> str | None:
        if value is None:
            return None
        return self._by_engine_name.get(value, value.lower())


def _parse_failure(stored: str | None) -> dict[str, Any]:
    """Return an error in the engine's format; empty for any other text."""
    try:
        error = json.loads(stored or "")
    except (ValueError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


class JobFailure(sa.TypeDecorator[str]):
    """An error as one line; text that isn't in the engine's format is unchanged."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> str | None:
        error = _parse_failure(value)
        if not {"name", "message"} <= error.keys():
            return value
        return f"{error['name']}: {error['message']}"


class JobTraceback(JobFailure):
    """The traceback of an error, or None if none is stored."""

    cache_ok = True

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> str | None:
        data = _parse_failure(value).get("data")
        text = data.get("traceback") if isinstance(data, dict) else None
        return text if isinstance(text, str) else None


def _map(schema: str | None) -> tuple[Any, Any, Any]:
    """Map the engine's tables in a schema. The two databases need one mapping each."""

    class EngineBase(DeclarativeBase):
        metadata = sa.MetaData(schema=schema)

    class JobRow(EngineBase):
        __tablename__ = "workflow_status"

        id: Mapped[UUID] = mapped_column("workflow_uuid", JobId, primary_key=True)
        job: Mapped[str] = mapped_column("name", sa.Text)
        status: Mapped[str] = mapped_column(JobStatus)
        queue: Mapped[str | None] = mapped_column("queue_name", sa.Text)
        attempts: Mapped[int] = mapped_column("recovery_attempts", sa.BigInteger)
        created_at: Mapped[datetime] = mapped_column(EpochMilliseconds)
        updated_at: Mapped[datetime] = mapped_column(EpochMilliseconds)
        started_at: Mapped[datetime | None] = mapped_column(
            "started_at_epoch_ms", EpochMilliseconds
        )
        completed_at: Mapped[datetime | None] = mapped_column(EpochMilliseconds)
        due_at: Mapped[datetime | None] = mapped_column(
            "delay_until_epoch_ms", EpochMilliseconds
        )
        executor_id: Mapped[str | None] = mapped_column(sa.Text)
        owner: Mapped[str | None] = mapped_column("owner_xid", sa.Text)
        last_error: Mapped[str | None] = mapped_column("error", JobFailure)

    class InputRow(EngineBase):
        __tablename__ = "workflow_input"

        id: Mapped[UUID] = mapped_column("workflow_uuid", JobId, primary_key=True)
        arguments: Mapped[str] = mapped_column("inputs", sa.Text)

    class OutputRow(EngineBase):
        __tablename__ = "workflow_output"

        id: Mapped[UUID] = mapped_column("workflow_uuid", JobId, primary_key=True)
        error: Mapped[str | None] = mapped_column(JobFailure)

    return JobRow, InputRow, OutputRow


_MAPPED: Mapping[str, tuple[Any, Any, Any]] = {
    "sqlite": _map(None),
    "postgresql": _map(ENGINE_SCHEMA),
}


def rows_for(dialect: str) -> tuple[Any, Any, Any]:
    """Return the mapped classes of a job's status, input and output for a dialect."""
    return _MAPPED[dialect]

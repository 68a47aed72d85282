"""Structured logs: one line an event, JSON in production, readable in development."""

import logging
import sys
from contextvars import ContextVar
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request under way; it stands in each of its log lines."""


def configure_logging(*, level: str, as_json: bool) -> None:
    """Send our events, and those of libraries that use `logging`, to standard error."""
    threshold = getattr(logging, level.upper())
    shared: list[Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=_renderers(as_json)
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for noisy in ("uvicorn.access", "aiosqlite", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _add_request_id(
    _logger: WrappedLogger, _method: str, event: EventDict
) -> EventDict:
    if (current := request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


def _renderers(as_json: bool) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if not as_json:
        # Plain tracebacks: the pretty ones show local variables, passwords among them.
        plain = structlog.dev.plain_traceback
        colours = sys.stderr.isatty()
        console = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=plain, timestamp_key="at"
        )
        return [drop, console]
    return [
        drop,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _to_json(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()

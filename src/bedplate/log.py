"""Structured logs: one line per event, JSON in production, text in development."""

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bedplate.config import Settings
from bedplate.core.origin import origin


class _StandardError:
    """Output of structlog, which bypasses `logging`: that takes 60 µs per line."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)  # looked up each time: tests replace and close it

    def flush(self) -> None:
        sys.stderr.flush()

    def write_line(self, line: str) -> None:
        self.write(line + "\n")  # one write, so that lines of two processes don't mix
        self.flush()

    debug = info = warning = error = critical = exception = msg = write_line


def configure_logging(*, level: str, as_json: bool) -> None:
    """Write events, and those of libraries that use `logging`, to standard error."""
    threshold = getattr(logging, level.upper())
    shared: list[Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    renderers = _renderers(as_json=as_json)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _StandardError(),
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderers,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for noisy in (
        "uvicorn.access",
        "aiosqlite",
        "alembic",
        "asyncio",
        "dbos",
        "sqlalchemy",  # an event for each pool
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_as_configured(settings: Settings) -> None:
    """Log at the level of the settings, as JSON in production and else as text."""
    configure_logging(level=settings.log_level, as_json=settings.is_production)


def _add_request_id(
    _logger: WrappedLogger, _method: str, event: EventDict
) -> EventDict:
    if (current := origin.get().request_id) is not None:
        event.setdefault("request_id", current)
    return event


def _renderers(*, as_json: bool) -> list[Processor]:
    if as_json:
        to_json = structlog.processors.JSONRenderer(serializer=_to_json)
        return [structlog.processors.format_exc_info, to_json]
    # Plain tracebacks, because the pretty ones show local variables, even passwords.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="at",
    )
    return [console]


def _to_json(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()

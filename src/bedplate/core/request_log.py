"""Fields that code adds to the log line of the current request."""

from contextvars import ContextVar

request_fields: ContextVar[dict[str, str] | None] = ContextVar(
    "request_fields", default=None
)


def add_to_request_log(**fields: str) -> None:
    """Add fields to the log line of the current request. Without a request do nothing.

    The mapping is shared, not replaced, so that fields from threads and other tasks of
    the request are logged too.
    """
    current = request_fields.get()
    if current is not None:
        current.update(fields)

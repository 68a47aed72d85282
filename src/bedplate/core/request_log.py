"""Fields that the code under a request adds to the request's log line."""

from contextvars import ContextVar

request_fields: ContextVar[dict[str, str] | None] = ContextVar(
    "request_fields", default=None
)


def add_to_request_log(**fields: str) -> None:
    """Add fields to the log line of the request under way; without one do nothing.

    The mapping is shared, not replaced, so that what a thread or another task of the
    request adds is seen too.
    """
    current = request_fields.get()
    if current is not None:
        current.update(fields)

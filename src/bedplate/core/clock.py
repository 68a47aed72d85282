"""The one clock of the system. A test may hold it: see `bedplate.testing.clock`."""

import time
from datetime import UTC, datetime


class Clock:
    """Runs, unless it is held."""

    held: datetime | None = None


clock = Clock()


def utc_now() -> datetime:
    """The current instant, aware, in UTC."""
    return clock.held or datetime.now(UTC)


def timestamp() -> float:
    """The same, in seconds since 1970."""
    return time.time() if clock.held is None else clock.held.timestamp()

"""The system's only clock. Tests can stop it: see `bedplate.testing.clock`."""

import time
from datetime import UTC, datetime


class Clock:
    """A clock that follows the system's, unless a test sets `held`."""

    held: datetime | None = None


clock = Clock()


def utc_now() -> datetime:
    """Return the current instant as an aware datetime in UTC."""
    return clock.held or datetime.now(UTC)


def timestamp() -> float:
    """Return the current instant in seconds since 1970."""
    return time.time() if clock.held is None else clock.held.timestamp()

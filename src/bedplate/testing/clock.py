"""A clock that stands still, for tests of what time does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from bedplate.core.clock import clock


class FrozenClock:
    """Stands, until a test moves it on. Rate limits and the job engine don't see it."""

    def __init__(self, at: datetime) -> None:
        self.move_to(at)

    @property
    def now(self) -> datetime:
        assert clock.held is not None
        return clock.held

    def move_to(self, at: datetime) -> None:
        """Raises ValueError for a naive instant."""
        if at.tzinfo is None:
            raise ValueError("an instant must be aware")
        clock.held = at.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        self.move_to(self.now + by)


@contextmanager
def frozen(at: datetime | None = None) -> Iterator[FrozenClock]:
    """In the block the clock stands, from now on or from another instant."""
    try:
        yield FrozenClock(at or datetime.now(UTC))
    finally:
        clock.held = None

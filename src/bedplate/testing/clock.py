"""A clock that stands still, for tests that depend on time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from bedplate.core.clock import clock


class FrozenClock:
    """A stopped clock that tests move. Rate limits and the job engine don't use it."""

    def __init__(self, at: datetime) -> None:
        self.move_to(at)

    @property
    def now(self) -> datetime:
        assert clock.held is not None
        return clock.held

    def move_to(self, at: datetime) -> None:
        """Set the clock to an instant.

        Raises:
            ValueError: the instant is naive.
        """
        if at.tzinfo is None:
            raise ValueError("an instant must be aware. Pass a time zone: tzinfo=UTC.")
        clock.held = at.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        self.move_to(self.now + by)


@contextmanager
def frozen(at: datetime | None = None) -> Iterator[FrozenClock]:
    """Stop the clock in the block, at an instant or at the current time."""
    try:
        yield FrozenClock(at or datetime.now(UTC))
    finally:
        clock.held = None

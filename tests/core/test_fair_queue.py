"""The queue for hashing is bounded and fair, and drops calls that were canceled."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bedplate.core.errors import ServiceUnavailable
from bedplate.core.fair_queue import FairQueue


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Yield an event that blocks the first call until it is set."""
    event = threading.Event()
    yield event
    event.set()


def make(**options: Any) -> FairQueue:
    defaults = {"threads": 1, "max_per_key": 3, "max_waiting": 5, "timeout": 20.0}
    return FairQueue(name="test", **{**defaults, **options})


async def occupy(queue: FairQueue, gate: threading.Event) -> "asyncio.Task[Any]":
    """Occupy the only thread until the gate opens."""
    is_running = threading.Event()

    def hold() -> None:
        is_running.set()
        gate.wait()

    task = asyncio.create_task(queue.run("first", hold))
    await asyncio.to_thread(is_running.wait)
    return task


async def enqueue(
    queue: FairQueue, keys: str, act: Callable[[str], Any]
) -> list["asyncio.Task[Any]"]:
    """Add a call for each letter of `keys`, in this order."""
    tasks = [asyncio.create_task(queue.run(key, act, key)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def test_keys_are_served_in_turn(gate: threading.Event) -> None:
    queue = make()
    served: list[str] = []
    busy = await occupy(queue, gate)
    tasks = await enqueue(queue, "aaabc", served.append)

    gate.set()
    await asyncio.gather(busy, *tasks)

    assert "".join(served) == "abcaa"
    assert queue.waiting == 0


@pytest.mark.parametrize(("keys", "refused"), [("aaaa", 1), ("abcdefg", 2)])
async def test_a_call_over_the_limit_is_refused_immediately(
    gate: threading.Event, keys: str, refused: int
) -> None:
    queue = make()
    served: list[str] = []
    busy = await occupy(queue, gate)
    tasks = await enqueue(queue, keys, served.append)
    await asyncio.sleep(0)

    for task in tasks[-refused:]:
        with pytest.raises(ServiceUnavailable):
            await task
    assert queue.waiting == len(keys) - refused
    gate.set()
    await asyncio.gather(busy, *tasks[:-refused])
    assert len(served) == len(keys) - refused


async def test_a_cancelled_call_leaves_the_queue(gate: threading.Event) -> None:
    queue = make()
    served: list[str] = []
    busy = await occupy(queue, gate)
    canceled, *others = await enqueue(queue, "aaa", served.append)

    canceled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await canceled
    assert queue.waiting == 2
    (late,) = await enqueue(queue, "a", served.append)

    gate.set()
    await asyncio.gather(busy, *others, late)
    assert len(served) == 3


async def test_a_call_that_waits_too_long_is_refused_and_never_runs(
    gate: threading.Event,
) -> None:
    queue = make(timeout=0.2)
    served: list[str] = []
    is_running = threading.Event()
    hold = threading.Thread(target=_hold_too_long, args=(queue, is_running, gate))
    hold.start()
    await asyncio.to_thread(is_running.wait)

    with pytest.raises(ServiceUnavailable) as refusal:
        await queue.run("b", served.append, "b")
    with pytest.raises(ServiceUnavailable):
        await asyncio.to_thread(queue.run_blocking, "c", served.append, "c")

    assert "Retry-After" in refusal.value.headers
    assert queue.waiting == 0
    gate.set()
    hold.join()
    assert await queue.run("d", lambda: "alive") == "alive"
    assert served == []


def _hold_too_long(
    queue: FairQueue, is_running: threading.Event, gate: threading.Event
) -> None:
    def hold() -> None:
        is_running.set()
        gate.wait()

    with pytest.raises(ServiceUnavailable):
        queue.run_blocking("a", hold)


async def test_threads_and_loops_share_the_queue_and_errors_reach_the_caller() -> None:
    queue = make(threads=2)

    assert await asyncio.to_thread(queue.run_blocking, "a", divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await queue.run("a", divmod, 1, 0)
    assert await queue.run("a", divmod, 7, 2) == (3, 1)

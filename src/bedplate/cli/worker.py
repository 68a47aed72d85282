"""`bedplate worker`."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli import fail, run

if TYPE_CHECKING:
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(worker)


def worker(
    queue: Annotated[
        list[str] | None, typer.Option(help="Only this queue; may be repeated.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once, of each queue.")
    ] = None,
) -> None:
    """Run jobs until told to stop; start as many as you like, on any machine."""
    run(lambda runtime: _work(runtime, queue or [], concurrency))


async def _work(runtime: "Runtime", queues: list[str], concurrency: int | None) -> None:
    from bedplate.migrate import ensure_schema
    from bedplate.worker import Worker

    known = {job.queue.name for job in runtime.jobs.jobs.values()}
    if unknown := set(queues) - known:
        fail(f"no job is on the queue {min(unknown)!r}")
    await ensure_schema(runtime.database)
    await runtime.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Worker(runtime, queues=queues, concurrency=concurrency) as worker:
        print(f"Worker {worker.id} is running jobs. Stop with Ctrl-C", flush=True)
        await stop.wait()

"""`bedplate worker`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail, run

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
    from bedplate.worker import run_worker

    async def act(runtime: "Runtime") -> None:
        known = {job.queue.name for job in runtime.jobs.jobs.values()}
        if unknown := set(queue or []) - known:
            fail(f"no job is on the queue {min(unknown)!r}")
        await run_worker(runtime, queues=queue or [], concurrency=concurrency)

    run(act, is_service=True)

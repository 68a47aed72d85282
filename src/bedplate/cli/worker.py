"""`bedplate worker`: run background jobs in a process of their own."""

from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail, run

if TYPE_CHECKING:
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(worker)


def worker(
    queue: Annotated[
        list[str] | None, typer.Option(help="Only this queue. May be repeated.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at the same time, per queue.")
    ] = None,
) -> None:
    """Run jobs until stopped. Start as many workers as you need, on any machine."""
    from bedplate.worker import run_worker

    async def act(runtime: "Runtime") -> None:
        names = {job.queue.name for job in runtime.jobs.jobs.values()}
        if unknown := set(queue or []) - names:
            fail(f"no job uses the queue {min(unknown)!r}")
        await run_worker(runtime, queues=queue or [], concurrency=concurrency)

    run(act, is_service=True)

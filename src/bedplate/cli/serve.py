"""`bedplate serve`: migrate SQLite, bind the port, start the server."""

import os
import signal
import socket
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.runner import fail, run

if TYPE_CHECKING:
    from uvicorn import Config

    from bedplate.config import Settings
    from bedplate.runtime import Runtime


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 picks a free one.")
    ] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    reload: Annotated[bool, typer.Option(help="Restart when code changes.")] = False,
    django_only: Annotated[
        bool, typer.Option("--django-only", help="Serve Django without the API.")
    ] = False,
) -> None:
    """Serve the API and the admin site. On SQLite, run missing migrations first."""
    from bedplate.config import SERVED_AT
    from bedplate.dispatcher import require_django
    from bedplate.server import make_config

    if django_only:
        require_django()
    settings = run(_prepare, is_service=True)
    listener = _listen(host, port)
    base = _base_url(host, listener.getsockname()[1])
    os.environ[SERVED_AT] = base  # before any worker starts
    _greet(settings, settings.public_url or base, django_only=django_only)
    listeners = [listener]
    if settings.metrics_port is not None:
        listeners.append(_listen(host, settings.metrics_port))
    app = "bedplate.dispatcher:django_only" if django_only else "bedplate.asgi:app"
    _serve(
        make_config(
            app, settings, workers=workers, reload=reload, is_factory=django_only
        ),
        listeners,
    )


async def _prepare(runtime: "Runtime") -> "Settings":
    """Check the schema and start the runtime once, before there is a server.

    An error here is one line; in a worker it would be a traceback from each of them.
    """
    from bedplate.migrate import ensure_schema

    await ensure_schema(runtime.database, runtime.migrations)
    await runtime.start()
    return runtime.settings


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or fail with one line if the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        fail(f"can't listen on {host}:{port}: {error.strerror or error}")
    listener.set_inheritable(True)  # for --workers and --reload, which are processes
    return listener


def _serve(config: "Config", listeners: list[socket.socket]) -> None:
    import uvicorn
    from uvicorn.supervisors import ChangeReload, Multiprocess

    server = uvicorn.Server(config)
    if config.reload:
        ChangeReload(config, target=server.run, sockets=listeners).run()
    elif config.workers > 1:
        with tempfile.TemporaryDirectory(prefix="bedplate-metrics-") as directory:
            # prometheus_client then sums the workers' metrics through files in it.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
            Multiprocess(config, sockets=listeners).run()
    else:
        # uvicorn raises SIGTERM again once it has stopped, which would end the process
        # with an error. A requested stop exits with 0.
        signal.signal(signal.SIGTERM, lambda *_: None)
        server.run(sockets=listeners)
        if not server.started:
            raise typer.Exit(3)


def _base_url(host: str, port: int) -> str:
    """Return a URL at which programs on this machine reach the server."""
    # 0.0.0.0 and :: mean every interface; clients can't connect to them everywhere.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return (
        f"http://[{reachable}]:{port}" if ":" in host else f"http://{reachable}:{port}"
    )


def _greet(settings: "Settings", base: str, *, django_only: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    from bedplate.dispatcher import django_is_installed

    lines = {} if django_only else {"API": f"{base}/api/v1"}
    if settings.docs and not django_only:
        lines["Docs"] = f"{base}/docs"
    if django_is_installed():
        lines["Admin"] = f"{base}/admin/"
    lines["Data"] = str(settings.data_dir.absolute())
    if settings.resolved_database_url.drivername == "postgresql":
        lines["Database"] = settings.shown_database_url
    lines["First admin"] = "bedplate users create EMAIL --name NAME --role admin"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n  [bold]Bedplate[/] is serving ({settings.environment})\n")
    for name, value in lines.items():
        console.print(f"  [dim]{name:<11}[/]  {escape(value)}")
    console.print("\n  [dim]Stop with Ctrl-C[/]\n")

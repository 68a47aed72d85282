"""The command line: registers every command.

Heavy imports stay inside the commands, so that help is instant.
"""

import sys

import typer

from bedplate.cli.runner import describe, fail

app = typer.Typer(
    name="bedplate",
    help="The backend under a product.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register_commands() -> None:
    """Put every command in its place, once."""
    from bedplate.cli import (
        add,
        check,
        inspect,
        jobs,
        keys,
        manage,
        migrate,
        new,
        outbox,
        serve,
        upgrade,
        users,
        worker,
    )

    alone = (new, serve, worker, migrate, upgrade, manage, outbox, inspect, check)
    for commands in alone:
        commands.register(app)
    app.add_typer(add.app, name="add")
    app.add_typer(users.app, name="users")
    app.add_typer(jobs.app, name="jobs")
    app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line: an error is one readable line and exit code 1."""
    register_commands()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (line := describe(error)) is None:
            raise
        fail(line)

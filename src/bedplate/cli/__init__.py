"""The command line: registers every command.

Heavy imports stay inside the commands, so that `--help` is fast.
"""

import sys

import typer

from bedplate.cli.runner import describe, fail

app = typer.Typer(
    name="bedplate",
    help="A backend foundation: API, admin, jobs and mail on one database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register_commands() -> None:
    """Register every command with `app`. Call it once."""
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

    top_level = (new, serve, worker, migrate, upgrade, manage, outbox, inspect, check)
    for commands in top_level:
        commands.register(app)
    app.add_typer(add.app, name="add")
    app.add_typer(users.app, name="users")
    app.add_typer(jobs.app, name="jobs")
    app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line. Print an expected error as one line and exit with 1."""
    register_commands()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (line := describe(error)) is None:
            raise  # a bug: its traceback is needed
        fail(line)

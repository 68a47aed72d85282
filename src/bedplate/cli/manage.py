"""`bedplate django …`: Django's own commands, with Bedplate's settings."""

import typer


def register(app: typer.Typer) -> None:
    # Every argument goes to Django, also options and --help.
    pass_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=pass_on, add_help_option=False)(django)


def django(context: typer.Context) -> None:
    """Run a Django command, for example `bedplate django check --deploy`."""
    from bedplate.dispatcher import require_django
    from bedplate.loader import load_app
    from bedplate.log import configure_logging

    require_django()
    state = load_app().state
    configure_logging(level="warning", as_json=False)

    from django.core.management import execute_from_command_line

    from bedplate.django_site.setup import set_up

    set_up(state.runtime.settings, state.modules)
    execute_from_command_line(["bedplate django", *context.args])

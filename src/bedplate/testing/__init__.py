"""The test kit: fixtures, contracts and assertions for tests of your application.

pytest_plugins = ["bedplate.testing.plugin"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.testing.application import make_application
    from bedplate.testing.assertions import assert_refused
    from bedplate.testing.browser import Browser
    from bedplate.testing.clock import FrozenClock
    from bedplate.testing.contract import ApplicationContract
    from bedplate.testing.guards import blocking_calls_raise, recorded_statements
    from bedplate.testing.jobs import JobRunner
    from bedplate.testing.mailbox import Mailbox
    from bedplate.testing.plugin import (
        API,
        PASSWORD,
        AsRole,
        MakeUser,
        RunJobs,
        SignIn,
        Statements,
        client_for,
    )
    from bedplate.testing.postgres import local_postgres
    from bedplate.testing.resources import ResourceContract, another_users_id, my_id

__all__ = [
    "API",
    "PASSWORD",
    "ApplicationContract",
    "AsRole",
    "Browser",
    "FrozenClock",
    "JobRunner",
    "Mailbox",
    "MakeUser",
    "ResourceContract",
    "RunJobs",
    "SignIn",
    "Statements",
    "another_users_id",
    "assert_refused",
    "blocking_calls_raise",
    "client_for",
    "local_postgres",
    "make_application",
    "my_id",
    "recorded_statements",
]

_HOMES = {
    "make_application": "application",
    "assert_refused": "assertions",
    "Browser": "browser",
    "FrozenClock": "clock",
    "ApplicationContract": "contract",
    "blocking_calls_raise": "guards",
    "recorded_statements": "guards",
    "JobRunner": "jobs",
    "Mailbox": "mailbox",
    "API": "plugin",
    "PASSWORD": "plugin",  # pragma: allowlist secret
    "AsRole": "plugin",
    "MakeUser": "plugin",
    "RunJobs": "plugin",
    "SignIn": "plugin",
    "Statements": "plugin",
    "client_for": "plugin",
    "local_postgres": "postgres",
    "ResourceContract": "resources",
    "another_users_id": "resources",
    "my_id": "resources",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: pytest can only rewrite assertions before an import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

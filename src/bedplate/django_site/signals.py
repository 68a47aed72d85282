"""Handlers of Django's signals: sign-in, sign-out and new database connections."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.backends.signals import connection_created

from bedplate.database.engines import unicode_lower
from bedplate.django_site.authentication import keep_session, open_session
from bedplate.django_site.services import call_service
from bedplate.modules.auth.sessions import SessionService


def connect() -> None:
    user_logged_in.connect(_on_login, dispatch_uid="bedplate")
    user_logged_out.connect(_on_logout, dispatch_uid="bedplate")
    connection_created.connect(_on_connection, dispatch_uid="bedplate")


def _on_login(request: Any, user: Any, **_: Any) -> None:
    if user.caller is None:  # another backend has verified the user
        user.caller = open_session(user.pk)
    keep_session(request, user.caller)


def _on_logout(user: Any, **_: Any) -> None:
    caller = getattr(user, "caller", None)
    if caller is not None:
        call_service(SessionService, lambda s: s.sign_out(caller, "local"))


def _on_connection(connection: Any, **_: Any) -> None:
    if connection.vendor == "sqlite":
        connection.connection.create_function(
            "unicode_lower", 1, unicode_lower, deterministic=True
        )

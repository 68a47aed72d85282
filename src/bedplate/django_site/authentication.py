"""The caller of a request: by Django's session in the admin, by bearer token under DRF.

Both are looked up in the database once a request, by the same statement as under
FastAPI. After a session has ended, the next request is anonymous.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from bedplate.caller import Account, Caller
from bedplate.core.device_cookies import Device
from bedplate.core.errors import APIError, NotAuthenticated
from bedplate.core.permissions import Permission
from bedplate.django_site.bridge import model_of
from bedplate.django_site.services import call_service, host
from bedplate.modules.auth.authentication import Authenticator
from bedplate.modules.auth.sign_in import SignInService
from bedplate.modules.users.models import User

SESSION = "bedplate_session"


class Backend(BaseBackend):
    """Email and password, with the limits, timing and audit of every sign-in."""

    def authenticate(
        self,
        request: Any,
        username: str | None = None,
        password: str | None = None,
        **_: Any,
    ) -> Any:
        """Start a session and return its user, or None. `sign_in` raises the reason."""
        if username is None or password is None:
            return None
        try:
            return sign_in(username, password, request=request)
        except APIError:
            return None

    def get_user(self, user_id: Any) -> Any:
        """Return None: a user's id doesn't prove that the session still exists."""
        return None


def sign_in(
    email: str,
    password: str,
    permission: Permission | None = None,
    *,
    request: Any = None,
) -> Any:
    """Check a password, start a session and return its user.

    Raises:
        InvalidCredentials: also if the password is right but the user lacks the
            permission.
        RateLimited, AccountInactive, EmailNotVerified, ServiceUnavailable
    """
    device = device_of(request)
    caller = call_service(
        SignInService,
        lambda sign_ins: sign_ins.sign_in_with_cookie(
            email, password, permission, device
        ),
    )
    return user_of(caller)


def device_of(request: Any) -> Device | None:
    """Return the device that a request's cookie names."""
    if request is None:
        return None
    return host().runtime.device_cookies.read(request.COOKIES)


def set_device_cookie(request: Any, response: Any) -> None:
    """Set the device cookie if this request has signed a user in."""
    user_id = getattr(request, "signed_in_user_id", None)
    if user_id is not None:
        cookies = host().runtime.device_cookies
        value = cookies.issue(user_id, device_of(request))
        response.set_cookie(cookies.name, value, **cookies.attributes)


def open_session(user_id: UUID) -> Caller:
    """Start a session for a user that another backend has verified.

    Raises:
        AccountInactive
    """
    caller: Caller = call_service(SignInService, lambda s: s.start_session(user_id))
    return caller


def keep_session(request: Any, caller: Caller) -> None:
    """Store the session's id in Django's session."""
    request.session[SESSION] = [str(caller.id), str(caller.session_id)]
    request.signed_in_user_id = caller.id


def signed_in(request: Any) -> Any:
    """Return the user of the session in Django's session, or `AnonymousUser`."""
    ids = request.session.get(SESSION)
    if ids is None:
        return AnonymousUser()
    current = host()
    user_id, session_id = map(UUID, ids)
    resumed = Authenticator(current.runtime).resume(user_id, session_id)
    caller = current.run(resumed)
    return AnonymousUser() if caller is None else user_of(caller)


def user_of(caller: Caller) -> Any:
    """Return the caller as Django's user, without a query. The hash isn't loaded."""
    model = model_of(User)
    columns = {field.name for field in model._meta.concrete_fields}  # noqa: SLF001, public
    # `email_verified` is a property of the model, not a column.
    fields = [name for name in Account.__struct_fields__ if name in columns]
    alias = model.objects.db
    user = model.from_db(alias, fields, [getattr(caller, name) for name in fields])
    user.caller = caller
    return user


class BearerAuthentication(BaseAuthentication):
    """DRF's authentication by our access tokens.

    Raises:
        AuthenticationFailed: the header has no token, or one that is no longer valid.
    """

    def authenticate(self, request: Any) -> tuple[Any, str] | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        current = host()
        try:
            authenticator = Authenticator(current.runtime)
            caller = current.run(authenticator.authenticate_header(header))
        except NotAuthenticated as error:
            raise AuthenticationFailed(error.message) from error
        return user_of(caller), header

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"

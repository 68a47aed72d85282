"""Django middleware: a request's origin and user, the content policy, errors."""

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from bedplate.core.errors import APIError, ServiceUnavailable
from bedplate.core.origin import Origin, client_address, origin
from bedplate.django_site.authentication import set_device_cookie, signed_in
from bedplate.django_site.conf import bedplate_settings
from bedplate.middleware.headers import BODILESS
from bedplate.middleware.request import request_id_of

GetResponse = Callable[[HttpRequest], HttpResponse]

# No scripts, styles or images of other sites, no inline scripts, no framing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_MAX_USER_AGENT_LENGTH = 255


class OriginMiddleware:
    """Records a request's id and origin for limits, audit trail and responses.

    Under our own server `RequestMiddleware` has already done so.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if origin.get() != Origin():
            return self._get_response(request)
        request_origin = _origin_of(request)
        token = origin.set(request_origin)
        try:
            response = self._get_response(request)
        finally:
            origin.reset(token)
        response["X-Request-ID"] = str(request_origin.request_id)
        if response.status_code in BODILESS:
            del response["Content-Length"]
        return response


def _origin_of(request: HttpRequest) -> Origin:
    meta = request.META
    forwarded_for = (
        [meta["HTTP_X_FORWARDED_FOR"]] if "HTTP_X_FORWARDED_FOR" in meta else []
    )
    trusted = bedplate_settings().trusted_proxies
    address = client_address(meta.get("REMOTE_ADDR"), forwarded_for, trusted)
    user_agent = meta.get("HTTP_USER_AGENT", "")[:_MAX_USER_AGENT_LENGTH]
    request_id = request_id_of(meta.get("HTTP_X_REQUEST_ID", ""))
    return Origin(request_id, address, user_agent or None)


class ContentPolicyMiddleware:
    """Adds a `Content-Security-Policy`, unless the view has set one."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response


class AdminCookiesMiddleware:
    """Hides cookies from all paths but the admin site's.

    Over TLS browsers send the admin's cookies to the API too. The API ignores them, and
    an invalid one must not change a response: Django would set a new one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            request.COOKIES = {}
        return self._get_response(request)


class SignedInMiddleware(AuthenticationMiddleware):
    """Sets `request.user`, which is loaded from the database on first use."""

    def process_request(self, request: Any) -> None:
        request.user = SimpleLazyObject(partial(signed_in, request))
        request.auser = partial(sync_to_async(signed_in), request)

    def process_response(self, request: Any, response: Any) -> Any:
        set_device_cookie(request, response)
        return response


class RefusalMiddleware:
    """Renders errors of services outside forms, and of an unavailable database."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        if isinstance(error, OperationalError | InterfaceError):
            error = ServiceUnavailable()
        if not isinstance(error, APIError):
            return None
        return HttpResponse(
            error.message,
            content_type="text/plain; charset=utf-8",
            status=error.status_code,
            headers=dict(error.headers),
        )

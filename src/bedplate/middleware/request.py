"""The outermost middleware: request id, body limit, headers, log and metrics."""

import re
import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from bedplate.config import Settings
from bedplate.core.errors import InternalError, NotFound, PayloadTooLarge
from bedplate.core.origin import Origin, client_address, origin
from bedplate.core.request_log import request_fields
from bedplate.metrics import METRICS_PATH, observe_request
from bedplate.middleware.compression import (
    CompressedResponse,
    choose_encoding,
    is_worth_it,
    may_compress,
    vary_by_encoding,
    weaken,
)
from bedplate.middleware.error_response import CLIENT_LEFT, render
from bedplate.middleware.headers import Headers as ResponseHeaders
from bedplate.middleware.headers import complete_headers, default_headers

logger = structlog.get_logger()

_LONGEST_USER_AGENT = 255
_NOT_MODIFIED = 304
_ACCEPTED_ID = re.compile(r"[\x21-\x7e]{1,128}")


class BodyTooLarge(HTTPException):
    """A body without a declared length exceeded the limit."""


class RequestMiddleware:
    """ASGI middleware around everything else, so that it applies to every response.

    A client's `X-Request-ID` is used if it is 1 to 128 visible ASCII characters. A body
    over the limit is rejected by its declared length, or as soon as it exceeds it.
    HEAD is answered like GET, without the body (RFC 9110, section 9.3.2).
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._max_body_bytes = settings.max_body_bytes
        self._trusted_proxies = settings.trusted_proxies
        self._metrics_port = settings.metrics_port
        self._defaults = default_headers(settings)
        self._log = logger.bind()  # once: binding for every request is slow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._defaults)
        token = origin.set(self._origin(exchange))
        fields_token = request_fields.set(exchange.fields)
        try:
            await self._run(exchange.scope, receive, exchange)
        finally:
            exchange.record(self._log)
            request_fields.reset(fields_token)
            origin.reset(token)

    def _origin(self, exchange: "_Exchange") -> Origin:
        # Without trusted proxies anyone could forge `X-Forwarded-For`.
        trusted = self._trusted_proxies
        forwarded_for = exchange.forwarded_for() if trusted else ()
        address = client_address(exchange.peer, forwarded_for, trusted)
        user_agent = exchange.header(b"user-agent")[:_LONGEST_USER_AGENT]
        return Origin(exchange.request_id, address, user_agent or None)

    async def _run(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        if self._metrics_port and _is_wrong_port(scope, self._metrics_port):
            await render(NotFound())(scope, receive, exchange.send)
            return
        declared = exchange.header(b"content-length")
        if not declared:
            receive = _limited(receive, self._max_body_bytes)
        elif not declared.isdecimal() or int(declared) > self._max_body_bytes:
            await render(PayloadTooLarge())(scope, receive, exchange.send)
            return
        try:
            await self._app(scope, receive, exchange.send)
        except BodyTooLarge:  # raised through Django; FastAPI handles it itself
            await render(PayloadTooLarge())(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # there is nobody to answer, and it is not an error of the server
        except Exception:
            self._log.exception("bug", path=scope["path"])
            if exchange.status:
                raise  # too late for a response: the server closes the connection
            await render(InternalError())(scope, receive, exchange.send)


class _Exchange:
    """One request and its response, for headers, log and metrics."""

    def __init__(
        self, scope: Scope, send: Send, defaults: Mapping[bytes, tuple[bytes, bytes]]
    ) -> None:
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id_of(self.header(b"x-request-id"))
        self.peer: str | None = (scope.get("client") or (None,))[0]
        self.status = 0
        self.fields: dict[str, str] = {}
        self.method: str = scope["method"]
        self.scope, self._send = scope, send
        # Applications see a GET, so that HEAD has the same headers everywhere.
        if self.method == "HEAD" and not _has_own_head(scope):
            self.scope, self._send = {**scope, "method": "GET"}, _without_body(send)
        self._defaults = defaults
        self._compressed: CompressedResponse | None = None
        self._started = time.perf_counter()

    def header(self, name: bytes) -> str:
        """Return a request header, or "" if it is absent; the last one of several."""
        return self._headers.get(name, b"").decode("latin-1")

    def _all_of(self, name: bytes) -> str:
        """Return all values of a request header, separated by commas."""
        return ",".join(Headers(scope=self.scope).getlist(name.decode()))

    def forwarded_for(self) -> list[str]:
        return Headers(scope=self.scope).getlist("x-forwarded-for")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._complete(message)
            if self._compressed is None:
                await self._send(message)
        elif self._compressed is None:
            await self._send(message)
        else:
            await self._compressed.send(message)

    def _complete(self, message: Message) -> None:
        """Add missing headers to a response, and decide whether to compress it."""
        self.status = message["status"]
        # Only the admin uses cookies, and its pages set `private` themselves.
        is_private = b"authorization" in self._headers
        headers, original = complete_headers(
            message, self._defaults, is_private=is_private
        )
        headers.append((b"x-request-id", self.request_id.encode()))
        message["headers"] = headers
        if self.status == _NOT_MODIFIED:
            self._match_stored(headers, original)
        elif may_compress(self.status, original):
            vary_by_encoding(headers, original)
            if is_worth_it(original):
                self._compress(message)

    def _match_stored(
        self, headers: ResponseHeaders, original: Mapping[bytes, bytes]
    ) -> None:
        """Give a 304 the form of the tag, weak or strong, that the client stored."""
        vary_by_encoding(headers, original)
        etag = original.get(b"etag", b"").decode("latin-1")
        if f"W/{etag}" in self._all_of(b"if-none-match"):
            weaken(headers)

    def _compress(self, start: Message) -> None:
        encoding = choose_encoding(self._all_of(b"accept-encoding"))
        if encoding is not None:
            self._compressed = CompressedResponse(start, encoding, self._send)

    def record(self, log: Any) -> None:
        seconds = time.perf_counter() - self._started
        scope, status = self.scope, int(self.status or CLIENT_LEFT)
        observe_request(self.method, _template(scope), status, seconds)
        log.info(
            "request",
            method=self.method,
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 2),
            ip=origin.get().address,
            request_id=self.request_id,
            **self.fields,
        )


def _is_wrong_port(scope: Scope, metrics_port: int) -> bool:
    """Return whether a request is for another path on the metrics port."""
    _, port = scope.get("server") or (None, None)
    return port == metrics_port and scope["path"] != METRICS_PATH


def _has_own_head(scope: Scope) -> bool:
    """Return whether the application declares HEAD for this path itself."""
    app = scope.get("app")
    table = getattr(app.state, "route_table", None) if app is not None else None
    return table is not None and "HEAD" in table().methods(scope["path"])


def _without_body(send: Send) -> Send:
    """Return a `send` that sends the headers and an empty body."""
    has_ended = False

    async def send_headers(message: Message) -> None:
        nonlocal has_ended
        if message["type"] == "http.response.start":
            await send(message)
        elif not has_ended:
            has_ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_headers


def _template(scope: Scope) -> str:
    """Return the route's path with the names of its parameters, or "" without route."""
    return str(scope.get("template") or getattr(scope.get("route"), "path", ""))


def request_id_of(header: str) -> str:
    """Return the client's own request id if it is acceptable, else a new one."""
    return header if _ACCEPTED_ID.fullmatch(header) else str(uuid4())


def _limited(receive: Receive, limit: int) -> Receive:
    """Return a `receive` that limits a body without a length (chunked, or HTTP/2)."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLarge(PayloadTooLarge.status_code)
        return message

    return counted

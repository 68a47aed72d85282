"""Run uvicorn with limits on the size and duration of a request.

uvicorn reads request headers of any size for any time, and waits for a body forever.
It has no setting for either, so this module extends its protocol and uses its private
attributes: `tests/processes/test_slow_clients.py` checks all of it against the real
server.
"""

import asyncio
from functools import cache, cached_property
from http import HTTPStatus
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bedplate.config import Settings
from bedplate.core.envelope import envelope
from bedplate.core.errors import (
    APIError,
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    ServiceUnavailable,
)
from bedplate.core.origin import Origin, origin
from bedplate.metrics import observe_request
from bedplate.middleware.error_response import render
from bedplate.middleware.headers import default_headers
from bedplate.middleware.request import RequestMiddleware, request_id_of

# At stop, uvicorn closes idle connections and waits this long for running requests.
GRACEFUL_STOP_SECONDS = 10
# How long a rejected client may take to read the error, and how much it may send then.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 20
# Requests of one connection that may wait behind the running one.
_MAX_PIPELINED = 16

logger = structlog.get_logger()


def make_config(
    app: str,
    settings: Settings,
    *,
    workers: int = 1,
    reload: bool = False,
    is_factory: bool = False,
) -> uvicorn.Config:
    """Return the uvicorn configuration of `bedplate serve`."""
    return uvicorn.Config(
        app,
        factory=is_factory,
        workers=workers,
        reload=reload,
        # By name, so that a worker process imports this module late: uvicorn's
        # supervisor replaces processes that import for too long on a busy machine.
        http=f"{__name__}:{connect.__name__}",
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=GRACEFUL_STOP_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
    )


def connect(config: uvicorn.Config, **options: Any) -> "LimitedProtocol":
    """Return the protocol of a new connection to the served application."""
    return LimitedProtocol(_shared_by(config.loaded_app), config=config, **options)


@cache
def _shared_by(application: Any) -> "Shared":
    return Shared(application.state.runtime.settings)


class Shared:
    """State that all connections to one application share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def overloaded(self) -> ASGIApp:
        """The application that answers requests beyond `max_connections`."""
        return RequestMiddleware(_answer_overloaded, settings=self.settings)

    @cached_property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every error response that this module writes itself."""
        return [
            *default_headers(self.settings).values(),
            (b"cache-control", b"no-store"),
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
        ]


async def _answer_overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    error = ServiceUnavailable(headers={"Connection": "close"})
    await render(error)(scope, receive, send)


class Rejected(Exception):
    """A request exceeds a limit. Raised in a callback, it stops the parser."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection, with limits on headers, on time and on waiting requests."""

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(**options)
        self._shared = shared
        self._limits = shared.settings
        self.url = b""
        self._stopped_by: APIError = BadRequest()
        self._is_rejected = False
        self._dropped = 0  # bytes that arrived after the error response
        self._timer: asyncio.TimerHandle | None = None
        # State of the request that is being received:
        self._has_begun = self._has_headers = self._is_complete = False
        self._started_at = self._heard_at = 0.0
        self._unparsed = 0  # bytes that the parser buffers
        self._had_body = False  # whether the last piece contained body bytes
        # Bytes of the response that the client has not read yet, and since when.
        self._unread: tuple[int, float] | None = None

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # the same as uvicorn's
        super().connection_made(transport)
        self._started_at = self._heard_at = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_rejected:
            self._drop(len(data))
            return
        self._heard_at = self.loop.time()
        self._has_begun = True
        if self._is_complete:
            self._begin()
        while data and not self._is_rejected:
            # Headers are parsed in pieces of the limit, so that it can be checked in
            # between. A body is parsed whole: its reader limits it.
            size = len(data) if self._has_headers else self._limits.max_header_bytes
            self._parse(data[:size])
            data = data[size:]
        if not self._is_complete:
            self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    # Called by the parser and by the response

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._stop(BadRequest("Too many requests are waiting on this connection"))

    def on_headers_complete(self) -> None:
        self._check_headers()
        self._has_headers = True
        # uvicorn reads `self.app` in `on_headers_complete`, for this request only.
        application = self.app
        if len(self.connections) > self._limits.max_connections:
            self.app = self._shared.overloaded
        super().on_headers_complete()
        self.app = application

    def on_body(self, body: bytes) -> None:
        self._had_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_complete = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._await_reader()

    # Limits on size

    def _begin(self) -> None:
        self._started_at = self._heard_at
        self._has_headers = self._is_complete = False
        self._unparsed = 0

    def _parse(self, data: bytes) -> None:
        self._had_body = False
        super().data_received(data)
        if self._is_rejected or self._is_complete:
            return
        if not self._had_body:  # headers, trailers or the header of a chunk
            self._unparsed += len(data)
            self._check_parsed()

    def _check_parsed(self) -> None:
        try:
            self._check_headers()
        except Rejected:
            self._reject(self._stopped_by)

    def _check_headers(self) -> None:
        """Check the number and the size of the headers.

        A request that arrived in one piece is small enough: no piece is larger.

        Raises:
            Rejected
        """
        limits, headers = self._limits, self.headers or ()
        if len(headers) > limits.max_header_count:
            self._stop(HeadersTooLarge())
        if self._unparsed:
            size = len(self.url) + sum(len(n) + len(v) for n, v in headers)
            # The first piece may have contained the end of an earlier request.
            size = max(size, self._unparsed - limits.max_header_bytes)
            if size > limits.max_header_bytes:
                self._stop(HeadersTooLarge())

    def _stop(self, error: APIError) -> None:
        self._stopped_by = error
        raise Rejected(error.message)

    # Limits on time

    def _watch(self) -> None:
        """Schedule a check of whether the client sends and reads fast enough."""
        if self._timer is None:
            limits = self._limits
            shortest = min(limits.header_timeout, limits.body_timeout)
            delay = min(1.0, shortest / 4)
            self._timer = self.loop.call_later(delay, self._check_time)

    def _await_reader(self) -> None:
        if self._unread is None:
            self._unread = (self.transport.get_write_buffer_size(), self.loop.time())
        self._watch()

    def _check_time(self) -> None:
        self._timer = None
        if self._reads_too_slowly():
            self.transport.abort()
        elif self._unread is not None:
            self._watch()
        elif self._is_rejected or self.transport.is_closing():
            return
        elif self._sends_too_slowly():
            self._reject(RequestTimeout())
        elif not self._is_complete:
            self._watch()

    def _sends_too_slowly(self) -> bool:
        if self._is_complete:
            return False
        now, limits = self.loop.time(), self._limits
        if not self._has_headers:
            # A pipelined request may be slow while an earlier response is running.
            return self._is_idle and now - self._started_at > limits.header_timeout
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            return False  # the client is waiting for the application
        is_silent = now - self._heard_at > limits.body_timeout
        return is_silent or now - self._started_at > limits.request_timeout

    def _reads_too_slowly(self) -> bool:
        """Return whether the client has read nothing of the response for too long."""
        if self._unread is None:
            return False
        size, since = self._unread
        remaining, now = self.transport.get_write_buffer_size(), self.loop.time()
        if remaining < size:
            self._unread = (remaining, now) if remaining else None
            return False
        return now - since > self._limits.body_timeout

    @property
    def _is_idle(self) -> bool:
        """Return whether no request is running."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    # Rejected requests

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser stopped at. uvicorn calls it."""
        self._reject(self._stopped_by)

    def _reject(self, error: APIError) -> None:
        """End the connection, with an error response if one can still be sent."""
        self._is_rejected = True
        self._unset_keepalive_if_required()
        can_respond, is_idle = self._can_respond(), self._is_idle
        if not is_idle:  # inform the application that its client disconnected
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if can_respond:
            self._respond(error)
            self._close()
        elif is_idle:
            self.transport.close()
        else:
            self.transport.abort()

    def _can_respond(self) -> bool:
        """Return whether the client expects the response to this request next."""
        if self._has_headers:
            return not self.pipeline and not self.cycle.response_started
        return self._has_begun and self._is_idle

    def _respond(self, error: APIError) -> None:
        header = dict(self.headers or ()).get(b"x-request-id", b"").decode("latin-1")
        request_id = request_id_of(header)
        token = origin.set(Origin(request_id, self.client[0] if self.client else None))
        try:
            self.transport.write(self._response(error, request_id))
            self._record(error)
        finally:
            origin.reset(token)

    def _response(self, error: APIError, request_id: str) -> bytes:
        body = envelope(error)
        headers = [
            *self.server_state.default_headers,
            *self._shared.headers,
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        phrase = HTTPStatus(error.status_code).phrase.encode()
        lines = [b"HTTP/1.1 %d %s" % (error.status_code, phrase)]
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join([*lines, b"", body])

    def _record(self, error: APIError) -> None:
        seconds = self.loop.time() - self._started_at
        logger.info(
            "request rejected",
            status=error.status_code,
            code=error.code,
            ms=round(seconds * 1000, 2),
            ip=origin.get().address,
        )
        if self._is_idle:  # otherwise the running request records it
            observe_request("other", "", error.status_code, seconds)

    def _drop(self, size: int) -> None:
        """Discard what a client still sends: many read the response only afterwards."""
        self._dropped += size
        if self._dropped > _LINGER_BYTES:
            self.transport.abort()

    def _close(self) -> None:
        """Close once the client has read the response, or after a short time.

        Closing a socket with unread data resets the connection, and the client loses
        the response.
        """
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

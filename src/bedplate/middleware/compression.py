"""Compress responses as the client accepts it (RFC 9110, 8.4 and 12.5.3).

A response is compressed if its length is known and long enough, its media type is
compressible, and it is not `no-store`: from the compressed length of a response with a
secret and with text of an attacker, the attacker can guess the secret (BREACH). Streams
of unknown length are not buffered, so events arrive immediately.
"""

import asyncio
import re
import sys
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import brotli
from starlette.types import Message, Send

from bedplate.middleware.headers import BODILESS, NO_STORE, Headers

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Below this, the additional headers are longer than what compression saves.
MINIMUM_BYTES = 1024
# Compressing this much takes about a millisecond. Longer bodies go to a thread.
_BYTES_ON_THE_LOOP = 1 << 16
_LONGEST_HEADER = 200
_PARTIAL_CONTENT = 206
_TYPES = re.compile(
    rb"(?!text/event-stream)(?:text/[\w.+-]+"
    rb"|application/(?:[\w.-]+\+)?(?:json|xml)"
    rb"|application/(?:javascript|manifest\+json|wasm)"
    rb"|image/svg\+xml)"
)
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


class Encoder(Protocol):
    """An encoder of a body that is passed in pieces."""

    def add(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class _Zstd:
    def __init__(self) -> None:
        compressor = zstd.ZstdCompressor(level=3)
        self.add = compressor.compress
        self.end = compressor.flush


class _Brotli:
    def __init__(self) -> None:
        compressor = brotli.Compressor(quality=4)
        self.add = compressor.process
        self.end = compressor.finish


class _Gzip:
    def __init__(self) -> None:
        compressor = zlib.compressobj(4, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        self.add = compressor.compress
        self.end = compressor.flush


# In order of preference, for clients that accept several with the same weight.
ENCODINGS: Mapping[str, type[Encoder]] = {"zstd": _Zstd, "br": _Brotli, "gzip": _Gzip}


@lru_cache(maxsize=256)
def choose_encoding(accepted: str) -> str | None:
    """Return the encoding that an `Accept-Encoding` prefers, or None for identity."""
    if len(accepted) > _LONGEST_HEADER:
        return None
    qualities = dict(map(_quality, accepted.lower().split(",")))
    wildcard = qualities.get("*", 0.0)
    best = max(ENCODINGS, key=lambda name: qualities.get(name, wildcard))
    quality = qualities.get(best, wildcard)
    return best if quality > 0 and quality >= qualities.get("identity", 0) else None


def _quality(item: str) -> tuple[str, float]:
    """Return an encoding and its weight: 1 if it is absent, 0 if it is invalid."""
    name, separator, weight = item.partition(";")
    if not separator:
        return name.strip(), 1.0
    match = _QUALITY.fullmatch(weight.strip())
    return name.strip(), float(match[1]) if match else 0.0


def may_compress(status: int, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a response may be compressed for clients that accept it."""
    return (
        _compresses(headers.get(b"content-type", b""))
        and b"content-encoding" not in headers
        and NO_STORE not in headers.get(b"cache-control", b"")
        and status not in BODILESS
        and status != _PARTIAL_CONTENT
    )


@lru_cache(maxsize=256)
def _compresses(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return _TYPES.fullmatch(media_type) is not None


def is_worth_it(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a body of known length is long enough."""
    length = headers.get(b"content-length", b"0")
    return length.isdigit() and int(length) >= MINIMUM_BYTES


def vary_by_encoding(headers: Headers, original: Mapping[bytes, bytes]) -> None:
    """Make caches store one response for each `Accept-Encoding`."""
    others = original.get(b"vary")
    if others is None:
        headers.append((b"vary", b"Accept-Encoding"))
    elif others != b"*" and b"accept-encoding" not in others.lower():
        both = (b"vary", others + b", Accept-Encoding")
        headers[headers.index((b"vary", others))] = both


def weaken(headers: Headers) -> None:
    """Make the `ETag` weak: same content, other bytes (RFC 9110, 8.8.1)."""
    for index, (name, value) in enumerate(headers):
        if name == b"etag" and not value.startswith(b"W/"):
            headers[index] = (name, b"W/" + value)


class CompressedResponse:
    """Sends one response compressed, in the same pieces as it arrives."""

    def __init__(self, start: Message, encoding: str, send: Send) -> None:
        self._start: Message | None = start
        self._encoding = encoding
        self._encoder = ENCODINGS[encoding]()
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of the body, and the headers with the first part."""
        if message["type"] != "http.response.body":
            await self._send_as_is(message)
            return
        is_last = not message.get("more_body", False)
        body = await self._encode(message.get("body", b""), is_last=is_last)
        if self._start is not None:
            await self._send(self._headers(len(body) if is_last else None))
            self._start = None
        if body or is_last:
            await self._send({**message, "body": body, "more_body": not is_last})

    async def _send_as_is(self, message: Message) -> None:
        """Send a message that only the server handles, such as the path of a file."""
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        await self._send(message)

    async def _encode(self, data: bytes, *, is_last: bool) -> bytes:
        def encode() -> bytes:
            encoded = self._encoder.add(data)
            return encoded + self._encoder.end() if is_last else encoded

        if len(data) > _BYTES_ON_THE_LOOP:
            return await asyncio.to_thread(encode)
        return encode()

    def _headers(self, length: int | None) -> Message:
        assert self._start is not None
        # Both describe the bytes before compression.
        outdated = (b"content-length", b"accept-ranges")
        headers: Any = [h for h in self._start["headers"] if h[0] not in outdated]
        headers.append((b"content-encoding", self._encoding.encode()))
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        weaken(headers)
        return {**self._start, "headers": headers}

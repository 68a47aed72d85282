"""Headers of every response: security headers and `Cache-Control`."""

from collections.abc import Mapping

from starlette.types import Message

from bedplate.config import Settings

Headers = list[tuple[bytes, bytes]]

# OWASP REST Security Cheat Sheet, "Security headers", for responses without any.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; base-uri 'none'; form-action 'none'; "
            b"frame-ancestors 'none'"
        ),
    ),
)
# RFC 6797. Without `includeSubDomains`: other hosts of the domain may have no TLS.
HSTS = (b"strict-transport-security", b"max-age=31536000")
NO_STORE = b"no-store"
# Statuses whose responses have no body (RFC 9110, 8.6, 15.3.5 and 15.4.5).
BODILESS = frozenset((204, 304))
_OK = 200
_NO_CACHE = (b"cache-control", b"no-cache")
_PRIVATE = (b"cache-control", b"private, no-cache")


def default_headers(settings: Settings) -> Mapping[bytes, tuple[bytes, bytes]]:
    """Return the security headers of these settings, by name."""
    headers = (*SECURITY_HEADERS, *([HSTS] if settings.is_https else ()))
    return {header[0]: header for header in headers}


def complete_headers(
    message: Message, defaults: Mapping[bytes, tuple[bytes, bytes]], *, is_private: bool
) -> tuple[Headers, Mapping[bytes, bytes]]:
    """Return a response's headers with the missing ones added, and the original ones.

    `is_private`: the request has a token, so the response is for its caller only.
    """
    headers: Headers = [*message.get("headers", ())]
    original = dict(headers)
    status = message["status"]
    if status in BODILESS and b"content-length" in original:
        headers = [header for header in headers if header[0] != b"content-length"]
    # The usual case, faster than looking for each header.
    if original.keys().isdisjoint(defaults):
        headers += defaults.values()
    else:
        headers += [header for name, header in defaults.items() if name not in original]
    cache_control = original.get(b"cache-control")
    if cache_control is None:
        headers.append((b"cache-control", _cache_control(status, original, is_private)))
    elif is_private and cache_control == b"no-cache":
        headers[headers.index(_NO_CACHE)] = _PRIVATE
    return headers, original


def _cache_control(
    status: int, original: Mapping[bytes, bytes], is_private: bool
) -> bytes:
    """Return the `Cache-Control` of a response that has none (RFC 9111, 5.2.2).

    Responses with a validator may be stored, and are revalidated before each use.
    Private responses without one, and errors, are not stored at all.
    """
    if b"etag" in original or b"last-modified" in original:
        return b"private, no-cache" if is_private else b"no-cache"
    return NO_STORE if is_private or status != _OK else b"no-cache"

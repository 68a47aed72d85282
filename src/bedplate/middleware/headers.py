"""Headers that every answer carries: security, and whether it may be stored."""

from collections.abc import Mapping

from starlette.types import Message

from bedplate.config import Settings

Headers = list[tuple[bytes, bytes]]

# OWASP REST Security Cheat Sheet, "Security headers", for answers that have none.
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
# RFC 6797. Whether a domain's other hosts have TLS isn't ours to say.
HSTS = (b"strict-transport-security", b"max-age=31536000")
NO_STORE = b"no-store"
# An answer that has no body by definition (RFC 9110, 8.6, 15.3.5 and 15.4.5).
BODILESS = frozenset((204, 304))
_OK = 200
_NO_CACHE = (b"cache-control", b"no-cache")
_PRIVATE = (b"cache-control", b"private, no-cache")


def default_headers(settings: Settings) -> Mapping[bytes, tuple[bytes, bytes]]:
    """Return the security headers by name, as these settings want them."""
    headers = (*SECURITY_HEADERS, *([HSTS] if settings.is_https else ()))
    return {header[0]: header for header in headers}


def complete_headers(
    message: Message, defaults: Mapping[bytes, tuple[bytes, bytes]], *, is_private: bool
) -> tuple[Headers, Mapping[bytes, bytes]]:
    """Return an answer's headers with what it lacks, and those that it came with.

    `is_private`: the request names a caller, by a token.
    """
    headers: Headers = [*message.get("headers", ())]
    given = dict(headers)
    status = message["status"]
    if status in BODILESS and b"content-length" in given:
        headers = [header for header in headers if header[0] != b"content-length"]
    if given.keys().isdisjoint(defaults):
        headers += defaults.values()
    else:
        headers += [header for name, header in defaults.items() if name not in given]
    stated = given.get(b"cache-control")
    if stated is None:
        headers.append((b"cache-control", _storing(status, given, is_private)))
    elif is_private and stated == b"no-cache":
        headers[headers.index(_NO_CACHE)] = _PRIVATE
    return headers, given


def _storing(status: int, given: Mapping[bytes, bytes], is_private: bool) -> bytes:
    """Return the `Cache-Control` of an answer that states none (RFC 9111, 5.2.2).

    What has a validator may be kept and is revalidated before each use. What belongs
    to a caller, and every refusal, is not stored at all.
    """
    if b"etag" in given or b"last-modified" in given:
        return b"private, no-cache" if is_private else b"no-cache"
    return NO_STORE if is_private or status != _OK else b"no-cache"

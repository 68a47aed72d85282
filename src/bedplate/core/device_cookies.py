"""Device cookies: they mark clients that have signed in to an account before.

From "Slow Down Online Guessing Attacks with Device Cookies", OWASP. A cookie grants no
access. It only selects the rate limit that wrong passwords from its client count
against.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from bedplate.core.clock import timestamp

# The number of limits that the devices of an account share. An attacker who collects
# cookies while a password is known gets at most this many times the guesses after the
# password was changed.
GROUPS: Final = 16
LIFETIME: Final = timedelta(days=365)


class Device(NamedTuple):
    """A client that has signed in to an account."""

    user_id: UUID
    group: int
    """The number of its limit, of the account's `GROUPS`; chosen at random."""


class DeviceCookies:
    """Issues device cookies and verifies them.

    The first key signs and every key verifies, so that keys can be rotated.
    """

    def __init__(self, keys: Sequence[bytes], *, secure: bool) -> None:
        self._keys = keys
        self._secure = secure
        # The prefix prevents other hosts of the domain from setting this cookie. It
        # requires TLS (RFC 6265bis, section 4.1.3.2).
        self.name = "__Host-bedplate_device" if secure else "bedplate_device"

    def issue(self, user_id: UUID, previous: Device | None = None) -> str:
        """Return a cookie's value. A previous device of the user keeps its group."""
        if previous is not None and previous.user_id == user_id:
            group = previous.group
        else:
            group = secrets.randbelow(GROUPS)
        expires_at = int(timestamp() + LIFETIME.total_seconds())
        text = f"{user_id.hex}.{group}.{expires_at}"
        return f"{text}.{_sign(self._keys[0], text)}"

    def read(self, cookies: Mapping[str, str]) -> Device | None:
        """Return the device of a request; None without a valid cookie."""
        text, _, signature = cookies.get(self.name, "").rpartition(".")
        # Bytes: `compare_digest` refuses strings with other characters than ASCII.
        received = signature.encode(errors="replace")
        signatures = [_sign(key, text).encode() for key in self._keys]
        if not any(hmac.compare_digest(received, valid) for valid in signatures):
            return None
        user_id, group, expires_at = text.split(".")
        if int(expires_at) <= timestamp():
            return None
        return Device(UUID(user_id), int(group))

    @property
    def attributes(self) -> dict[str, Any]:
        """Arguments for `set_cookie` of both frameworks, besides name and value."""
        return {
            "max_age": int(LIFETIME.total_seconds()),
            "path": "/",
            "secure": self._secure,
            "httponly": True,
            "samesite": "Lax",
        }


def _sign(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(errors="replace"), hashlib.sha256).hex()

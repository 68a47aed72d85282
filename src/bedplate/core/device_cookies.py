"""Device cookies: how a client shows that it has signed in to an account before.

From "Slow Down Online Guessing Attacks with Device Cookies", OWASP. A cookie is no
secret of the account and opens nothing: it only chooses which limit the wrong passwords
of its client are counted under.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from bedplate.core.clock import timestamp

# The devices of an account share so many limits. So whoever collects cookies while they
# know a password can't multiply their guesses after it was changed.
GROUPS: Final = 16
LIFETIME: Final = timedelta(days=365)


class Device(NamedTuple):
    """A client that has signed in to an account."""

    user_id: UUID
    group: int
    """Which of the account's `GROUPS` limits it is counted under, chosen at random."""


class DeviceCookies:
    """Issues device cookies and verifies them.

    The first key signs, all of them verify, so that keys can be rotated.
    """

    def __init__(self, keys: Sequence[bytes], *, secure: bool) -> None:
        self._keys = keys
        self._secure = secure
        # The prefix keeps other hosts of the domain from planting one, and needs TLS
        # (RFC 6265bis, section 4.1.3.2).
        self.name = "__Host-bedplate_device" if secure else "bedplate_device"

    def issue(self, user_id: UUID, known: Device | None = None) -> str:
        """Return a cookie's value. A device that is known already keeps its group."""
        is_known = known is not None and known.user_id == user_id
        group = known.group if known and is_known else secrets.randbelow(GROUPS)
        expires_at = int(timestamp() + LIFETIME.total_seconds())
        text = f"{user_id.hex}.{group}.{expires_at}"
        return f"{text}.{_sign(self._keys[0], text)}"

    def read(self, cookies: Mapping[str, str]) -> Device | None:
        """Return the device that a request's cookies name, if we named it so."""
        text, _, signature = cookies.get(self.name, "").rpartition(".")
        signatures = [_sign(key, text) for key in self._keys]
        sent = signature.encode(errors="replace")
        if not any(hmac.compare_digest(sent, made.encode()) for made in signatures):
            return None
        user_id, group, expires_at = text.split(".")
        if int(expires_at) <= timestamp():
            return None
        return Device(UUID(user_id), int(group))

    @property
    def attributes(self) -> dict[str, Any]:
        """What both frameworks' `set_cookie` takes besides name and value."""
        return {
            "max_age": int(LIFETIME.total_seconds()),
            "path": "/",
            "secure": self._secure,
            "httponly": True,
            "samesite": "Lax",
        }


def _sign(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(errors="replace"), hashlib.sha256).hex()

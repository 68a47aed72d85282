"""Random keys always pass. Keys that people type or copy from a page do not."""

import base64
import random
import uuid

import pytest

from bedplate.core.key_strength import MIN_BITS, estimate_bits

KEYS = 3000
RANDOM = random.Random(19)  # noqa: S311, the same keys on every run
MAKERS = {
    "hex of 16 bytes": lambda: RANDOM.randbytes(16).hex(),
    "hex of 32 bytes": lambda: RANDOM.randbytes(32).hex(),
    "upper-case hex": lambda: RANDOM.randbytes(16).hex().upper(),
    "base64": lambda: base64.b64encode(RANDOM.randbytes(24)).decode(),
    "URL-safe base64": lambda: base64.urlsafe_b64encode(RANDOM.randbytes(32)).decode(),
    "base32": lambda: base64.b32encode(RANDOM.randbytes(20)).decode(),
    "UUID": lambda: str(uuid.UUID(bytes=RANDOM.randbytes(16), version=4)),
    "UUID in hex": lambda: uuid.UUID(bytes=RANDOM.randbytes(16), version=4).hex,
    "digits": lambda: "".join(RANDOM.choices("0123456789", k=40)),
    "letters": lambda: "".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=32)),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_no_random_key_is_refused(maker: str) -> None:
    assert min(estimate_bits(MAKERS[maker]()) for _ in range(KEYS)) > MIN_BITS


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a" * 40,
        "k" * 32,
        "abc" * 14,
        "é" * 16,
        "0123456789abcdef" * 4,
        "deadbeef" * 4,
        "12345678901234567890123456789012",
        "12345678-1234-1234-1234-123456789012",
        "00000000-0000-0000-0000-000000000000",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "qwertyuiopasdfghjklzxcvbnm1234567890",  # pragma: allowlist secret
        "changeme" * 5,
        "change-me-" * 5,
        "please-change-me-please-change-me-now",
        "ChangeMeToARandomSecretKeyInProduction",  # pragma: allowlist secret
        "your-256-bit-secret-your-256-bit-secret",
        "your_secret_key_here_at_least_32_bytes",
        "this-is-a-very-secret-key-change-it-please",
        "insecure-development-key-do-not-use-in-production",
        "insecuredevelopmentkeydonotuseinproduction",
        "super-secret-key-for-my-production-server-2024",
    ],
)
def test_a_key_that_is_easy_to_guess_is_refused(key: str) -> None:
    assert estimate_bits(key) < MIN_BITS

"""What a new password has to be, besides 8 to 128 characters long."""

from functools import cache
from typing import Literal

PasswordPolicy = Literal["default", "strict"]

STRICT_LENGTH = 12


def broken_rules(policy: PasswordPolicy, password: str) -> list[str]:
    """What is wrong with a new password; empty when it will do.

    `default` wants an upper-case letter and a digit. `strict` follows NIST SP 800-63B,
    section 3.1.1.2: length instead of composition, and nothing that everybody uses.
    """
    return _default(password) if policy == "default" else _strict(password)


def _default(password: str) -> list[str]:
    broken = []
    if not any(character.isupper() for character in password):
        broken.append("A password needs an upper-case letter")
    if not any(character.isdigit() for character in password):
        broken.append("A password needs a digit")
    return broken


def _strict(password: str) -> list[str]:
    broken = []
    if len(password) < STRICT_LENGTH:
        broken.append(f"A password needs {STRICT_LENGTH} characters")
    if password.lower() in _common_passwords():
        broken.append("That password is one of the most common ones")
    return broken


@cache
def _common_passwords() -> frozenset[str]:
    # Loaded when the policy asks for it: it is some 30,000 words.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])

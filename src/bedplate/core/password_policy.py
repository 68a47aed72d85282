"""Policies for new passwords, besides a length of 8 to 128 characters.

`modern` and `strict` follow NIST SP 800-63B, section 3.1.1.2: they check the length, a
list of common passwords and words of the account, and have no composition rules.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from string import punctuation, whitespace
from types import MappingProxyType
from typing import Final

MIN_LENGTH: Final = 8
STRICT_LENGTH: Final = 12
_SHORTEST_WORD: Final = 4
"""Shorter parts of an address or a name appear in too many good passwords."""
_REPEATED_UNIT: Final = 3
_PADDING: Final = punctuation + whitespace


def reference(password: str, *, email: str, name: str) -> list[str]:  # noqa: ARG001, as every policy
    """Return the problems: too short, no upper-case letter, no digit."""
    problems = _too_short(password, MIN_LENGTH)
    if not any(character.isupper() for character in password):
        problems.append("A password needs an upper-case letter")
    if not any(character.isdigit() for character in password):
        problems.append("A password needs a digit")
    return problems


def modern(password: str, *, email: str, name: str) -> list[str]:
    """Return the problems: too short, common, or containing words of the account."""
    return _without_composition(password, email, name, MIN_LENGTH)


def strict(password: str, *, email: str, name: str) -> list[str]:
    """Return the problems: those of `modern`, with a minimum of 12 characters."""
    return _without_composition(password, email, name, STRICT_LENGTH)


POLICIES: Final[Mapping[str, Callable[..., list[str]]]] = MappingProxyType(
    {"reference": reference, "modern": modern, "strict": strict}
)


def _without_composition(
    password: str, email: str, name: str, length: int
) -> list[str]:
    problems = _too_short(password, length)
    folded = _fold(password)
    if _is_common(folded):
        problems.append("This password is too common: attackers try it first")
    if any(word in folded for word in _own_words(_fold(email), _fold(name))):
        problems.append("A password must not contain your name or email address")
    return problems


def _too_short(password: str, length: int) -> list[str]:
    if len(password) >= length:
        return []
    return [f"A password needs at least {length} characters"]


def _fold(text: str) -> str:
    """Return a text without differences of case and form, such as full width."""
    return unicodedata.normalize("NFKC", text).casefold()


def _is_common(folded: str) -> bool:
    """Return whether a password, or a simple variant of it, is on the list.

    `Password2024!` and `123password` are variants of `password`. A password of digits
    and punctuation only is common too: a date, a number, a row of the keyboard.
    """
    core = _strip(folded)
    return (
        not core
        or not _common_passwords().isdisjoint((folded, core))
        or _is_repeated(core)
        or _is_sequence(core)
    )


def _strip(folded: str) -> str:
    """Return a password without leading and trailing digits and punctuation."""
    is_core = [not (c.isdigit() or c in _PADDING) for c in folded]
    if True not in is_core:
        return ""
    return folded[is_core.index(True) : len(is_core) - is_core[::-1].index(True)]


def _is_repeated(core: str) -> bool:
    """Return whether it repeats a short or common text: `abcabcabc`."""
    period = (core + core).find(core, 1)
    if period == len(core):
        return False
    return period <= _REPEATED_UNIT or core[:period] in _common_passwords()


def _is_sequence(core: str) -> bool:
    """Return whether it counts up or down: `abcdefgh`."""
    steps = {ord(b) - ord(a) for a, b in pairwise(core)}
    return len(core) >= _SHORTEST_WORD and steps in ({1}, {-1})


def _own_words(email: str, name: str) -> Iterator[str]:
    """Yield the words that a password must not contain, such as `ada.lovelace`."""
    local = email.rpartition("@")[0]
    parts = re.split(r"[\W_]+", f"{local} {name}")
    for word in (email, local, name, "".join(name.split()), *parts):
        if len(word) >= _SHORTEST_WORD:
            yield word


@cache
def _common_passwords() -> frozenset[str]:
    """Return the 30,000 most common passwords, in lower case.

    The list is loaded when a policy first needs it: that takes 0.2 s and 15 MB.
    """
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])

"""Estimate how hard a secret key is to guess.

The estimate is low for keys that people type or copy, and high for every key from a
random generator. An estimator of password strength (zxcvbn) does not fit: it takes
0.3 s for a random key, and rates a sentence of example words as highly as one.
"""

import re
from itertools import pairwise

MIN_BITS = 64
"""Weaker keys are refused. The estimate for 16 random bytes, in hex, base64 or as a
UUID, is 90 or more; for seven different everyday words it is 77."""

_EXAMPLE_BITS = 4.0
_WORD_BITS = 11.0  # one of the 2,000 most common words
_LETTER_BITS = 4.7
_DIGIT_BITS = 3.3
_SYMBOL_BITS = 4.0
_LONGEST_WORD = 14
_GRAM = 4  # characters: a random key hardly ever repeats four in a row

_EXAMPLE = re.compile(
    r"change[-_ ]?me|change|replace|please|secret|passw(?:or)?d|example|sample|"
    r"default|insecure|unsafe|development|production|django|bedplate|server|token|"
    r"random|placeholder|dummy|testing|test|your|here|private|key",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s\-_.,:;]+")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
)
_NEIGHBORS = {
    pair for row in _ROWS for line in (row, row[::-1]) for pair in pairwise(line)
}
_MOSTLY = 2 / 3


def estimate_bits(key: str) -> float:
    """Return a rough upper bound of a key's entropy, in bits.

    A word counts as one choice, an example word (`changeme`) as almost nothing, and
    repeated or sequential text (`abcabc…`, `123456…`) only as its first part.
    """
    examples = {word.lower() for word in _EXAMPLE.findall(key)}
    pieces = set(_SEPARATORS.split(_EXAMPLE.sub(" ", key)))
    bits = len(examples) * _EXAMPLE_BITS + sum(map(_piece_bits, pieces))
    return bits * _novelty(key.lower()) * _disorder(key.lower())


def _piece_bits(piece: str) -> float:
    bits = sum(map(_character_bits, piece))
    is_one_case = piece.islower() or piece.isupper() or piece.istitle()
    is_word = piece.isalpha() and is_one_case and len(piece) <= _LONGEST_WORD
    return min(bits, _WORD_BITS) if is_word else bits


def _character_bits(character: str) -> float:
    if character.isalpha():
        return _LETTER_BITS
    return _DIGIT_BITS if character.isdigit() else _SYMBOL_BITS


def _novelty(key: str) -> float:
    """Return the share of a key that does not repeat an earlier part of it."""
    grams = [key[i : i + _GRAM] for i in range(len(key) - _GRAM + 1)]
    return len(set(grams)) / max(len(grams), 1)


def _disorder(key: str) -> float:
    """Return 1, or for a mostly sequential key the share that is not sequential."""
    pairs = list(pairwise(key))
    ordered = sum(a == b or (a, b) in _NEIGHBORS for a, b in pairs)
    share = ordered / max(len(pairs), 1)
    return 1 - share if share > _MOSTLY else 1.0

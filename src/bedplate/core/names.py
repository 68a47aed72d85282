"""What a person's name may hold: it is shown to others and stands in mails."""

import re
import unicodedata
from typing import Final

# Persian and Indic names are written with these, and emoji are joined by the second.
_JOINERS: Final = "\u200c\u200d"
# Controls, formats (directions among them), surrogates, private use, unassigned, line
# and paragraph separators.
_INVISIBLE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_TAGS: Final = range(0xE0020, 0xE0080)  # of flags such as Scotland's
# The ends of addresses that mail programs turn into links, as in `example.com`. A name
# such as "J. R. Smith" or "St. John" has a space after its dot.
_ENDINGS: Final = (
    "com|net|org|info|biz|app|dev|io|ai|co|me|xyz|top|site|online|shop|store|club|live"
    "|link|click|icu|vip|win|pro|tech|space|website|page|cloud|blog|fun|work|buzz"
    "|[a-z]{2}|xn--[a-z0-9-]+|рф"
)
_LINK: Final = re.compile(
    rf"://|www\.|\b[\w-]{{2,}}\.(?:{_ENDINGS})\b",
    re.IGNORECASE,
)


def check_name(name: str) -> str:
    """Return the name as it is.

    Raises:
        ValueError: it holds characters that can't be seen, such as those that turn the
            direction of writing, or something that a mail program would make a link of.
    """
    if any(_is_invisible(character) for character in name):
        raise ValueError("A name can't hold invisible or control characters")
    if _LINK.search(name):
        raise ValueError("A name can't hold a web address")
    return name


def _is_invisible(character: str) -> bool:
    if character in _JOINERS or ord(character) in _TAGS:
        return False
    return unicodedata.category(character) in _INVISIBLE

"""Rules for people's names, which are shown to others and appear in mails."""

import re
import unicodedata
from typing import Final

# Persian and Indic names need both of these, and the second one joins emoji.
_JOINERS: Final = "\u200c\u200d"
# Unicode categories: control, format (such as the direction of writing), surrogate,
# private use, unassigned, line separator, paragraph separator.
_INVISIBLE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_TAGS: Final = range(0xE0020, 0xE0080)  # in the emoji of flags such as Scotland's
# Mail programs turn `example.com` into a link if it ends in one of these. Names such as
# "J. R. Smith" and "St. John" pass, since a space follows their dots.
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
    """Return the name unchanged.

    Raises:
        ValueError: it contains invisible characters, such as those that change the
            direction of writing, or text that a mail program would turn into a link.
    """
    if any(_is_invisible(character) for character in name):
        raise ValueError("A name can't contain invisible or control characters")
    if _LINK.search(name):
        raise ValueError("A name can't contain a web address")
    return name


def _is_invisible(character: str) -> bool:
    if character in _JOINERS or ord(character) in _TAGS:
        return False
    return unicodedata.category(character) in _INVISIBLE

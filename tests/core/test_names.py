"""Rules for people's names: real ones pass, links and invisible characters don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.core.names import check_name

REAL = [
    "Ada Lovelace",
    "J. R. R. Tolkien",
    "J.R.R. Tolkien",
    "St. John",
    "Dr. No",
    "Martin Luther King, Jr.",
    "O'Brien",
    "Anne-Marie",
    "José",
    "Zoë\u0301",
    "نیما می\u200cخواهم",  # noqa: RUF001
    "ක්\u200dෂිති",
    "王小明",
    "Владимир",
    "\U0001f469\u200d\U0001f52c",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "X Æ A-12",
    "a.b",
    "e.e. cummings",
]
LINKS = [
    "http://example.com",
    "https://evil.example/path",
    "Win at example.com",
    "EXAMPLE.COM now",
    "www.example",
    "evil.co.uk",
    "bit.ly/x",
    "t.co is short, free.me is not",
    "пример.рф",
    "xn--e1afmkfd.xn--p1ai",
    "ftp://x",
]
INVISIBLE = [
    "\u202eevil",
    "a\u2028b",
    "a\u2029b",
    "a\u200bb",
    "\ufeffa",
    "a\u2066b",
    "a\u00adb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "\ue000",
    "\ufffe",
    "\U000e0001",
    "\ud800",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", LINKS)
def test_a_name_that_mail_programs_link_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="web address"):
        check_name(name)


@pytest.mark.parametrize("name", INVISIBLE, ids=ascii)
def test_invisible_characters_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="invisible"):
        check_name(name)


@given(st.text(st.characters(categories=["L", "M", "Zs"]), max_size=50))
def test_letters_and_marks_are_always_accepted(name: str) -> None:
    assert check_name(name) == name

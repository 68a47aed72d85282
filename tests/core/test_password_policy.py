"""What a new password has to be: the schema's length, and the policy's rules."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bedplate.core.password_policy import broken_rules
from bedplate.modules.users.schemas import PasswordSet


@given(st.text(max_size=140))
@example("A1" + "a" * 126)
@example("A1" + "a" * 127)
@example("A1aaaaa")
@example("A1aaaaaa")
def test_the_schema_takes_any_text_of_8_to_128_characters(password: str) -> None:
    fits = 8 <= len(password) <= 128 and "\x00" not in password
    try:
        taken = PasswordSet(password=password).password
    except ValidationError:
        assert not fits
    else:
        assert fits
        assert taken == password


@given(st.text(max_size=40))
def test_the_default_policy_wants_an_upper_case_letter_and_a_digit(
    password: str,
) -> None:
    has_upper = any(letter.isupper() for letter in password)
    has_digit = any(digit.isdigit() for digit in password)

    broken = broken_rules("default", password)

    assert ("A password needs an upper-case letter" in broken) is not has_upper
    assert ("A password needs a digit" in broken) is not has_digit


@pytest.mark.parametrize(
    ("password", "rules"),
    [
        ("correct horse battery", 0),
        ("elevenchars", 1),
        ("1234567890", 2),
        ("password1234", 1),
        ("1Qaz2Wsx3Edc", 1),
    ],
)
def test_the_strict_policy_wants_length_and_nothing_common(
    password: str, rules: int
) -> None:
    assert len(broken_rules("strict", password)) == rules


@pytest.mark.parametrize("policy", ["default", "strict"])
def test_a_broken_rule_is_told_without_the_password(policy: str) -> None:
    for password in ("no upper 1", "No digit"):
        for rule in broken_rules(policy, password):  # type: ignore[arg-type]  # both
            assert password not in rule

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bedplate.modules.users.schemas import (
    PasswordSet,
    check_password_rules,
    normalise_email,
)

locals_ = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30)
addresses = st.one_of(
    st.emails(),
    st.builds("{}@{}.example".format, locals_, locals_),
    st.builds("  {}@Example.COM\t".format, locals_),
)


@given(addresses)
@example("İ@example.com")
@example("ẞ@EXAMPLE.com")
@example("ΑΣ@example.com")
@example("K@example.com")
@example("user@\N{FULLWIDTH LATIN CAPITAL LETTER E}xample.com")
def test_a_normalised_address_is_the_one_form_of_it(address: str) -> None:
    try:
        normalised = normalise_email(address)
    except ValueError:
        assume(False)

    assert normalise_email(normalised) == normalised
    assert normalised == normalised.strip() == normalised.lower()
    assert len(normalised) <= 255


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        assert "@" in normalise_email(text)
    except ValueError as refusal:
        assert str(refusal) in (  # noqa: PT017, both outcomes are right
            "That is not an email address",
            "An address has at most 255 characters",
        )


@given(st.text(max_size=140))
@example("A1" + "a" * 126)
@example("A1" + "a" * 127)
@example("A1aaaaa")
@example("A1aaaaaa")
def test_a_password_is_taken_by_the_rules_alone(password: str) -> None:
    fits = (
        8 <= len(password) <= 128
        and any(letter.isupper() for letter in password)
        and any(digit.isdigit() for digit in password)
        and "\x00" not in password
    )
    try:
        taken = PasswordSet(password=password).password
    except ValidationError:
        assert not fits
    else:
        assert fits
        assert taken == password


@pytest.mark.parametrize("password", ["no upper 1", "No digit"])
def test_a_broken_rule_is_told_without_the_password(password: str) -> None:
    with pytest.raises(ValueError, match="A password needs") as refusal:
        check_password_rules(password)
    assert password not in str(refusal.value)

from hypothesis import assume, example, given
from hypothesis import strategies as st

from bedplate.modules.users.schemas import normalize_email

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
def test_a_normalized_address_is_the_one_form_of_it(address: str) -> None:
    try:
        normalized = normalize_email(address)
    except ValueError:
        assume(False)

    assert normalize_email(normalized) == normalized
    assert normalized == normalized.strip() == normalized.lower()
    assert len(normalized) <= 255


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        assert "@" in normalize_email(text)
    except ValueError as refusal:
        assert str(refusal) in (  # noqa: PT017, both outcomes are right
            "This is not an email address",
            "An address has at most 255 characters",
        )

"""Requirements for new passwords: the schema's length and the policy's rules."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bedplate.config import Settings
from bedplate.core.password_policy import POLICIES, _common_passwords
from bedplate.modules.users.schemas import PasswordSet


@given(st.text(max_size=140))
@example("A1" + "a" * 126)
@example("A1" + "a" * 127)
@example("A1aaaaa")
@example("A1aaaaaa")
def test_the_schema_accepts_any_text_of_8_to_128_characters(password: str) -> None:
    is_valid = 8 <= len(password) <= 128 and "\x00" not in password
    try:
        accepted = PasswordSet(password=password).password
    except ValidationError:
        assert not is_valid
    else:
        assert is_valid
        assert accepted == password


def problems(policy: str, password: str, **account: str) -> list[str]:
    account = {"email": "ada@example.com", "name": "Ada Lovelace", **account}
    return POLICIES[policy](password, **account)


@given(st.text(max_size=40))
def test_the_reference_policy_requires_an_upper_case_letter_and_a_digit(
    password: str,
) -> None:
    has_upper = any(letter.isupper() for letter in password)
    has_digit = any(digit.isdigit() for digit in password)

    broken = problems("reference", password)

    assert ("A password needs an upper-case letter" in broken) is not has_upper
    assert ("A password needs a digit" in broken) is not has_digit


def test_the_password_of_the_reference_s_own_test_passes_under_the_default() -> None:
    assert Settings.load(_env_file=None).password_policy == "reference"
    assert problems("reference", "Test1234") == []


COMMON = [
    "password",
    "PASSWORD",
    "Password12345",
    "Password2024!",
    "123password",
    "!!iloveyou!!",
    "monkey 1234",
    "\uff50assword",  # full-width p
    "12345678",
    "123456789012",
    "839201748265",
    "2024-11-23",
    "!!!!!!!!",
    "aaaaaaaaaaaa",
    "abcabcabcabc",
    "passwordpassword",
    "abcdefghijklm",
    "zyxwvutsrqpon",
]
FROM_THE_ACCOUNT = [
    "ada@example.com",
    "my-ADA@Example.com!",
    "lovelace-and-me",
    "I am Ada Lovelace",
    "xx-adalovelace-xx",
]
GOOD = [
    "correct horse battery",
    "mein Fahrrad ist rot",
    "kL9#vR2$xQ7!",
    "ゆきだるまがすきです❄️❄️❄️",
]


@pytest.mark.parametrize("policy", ["modern", "strict"])
@pytest.mark.parametrize("password", COMMON)
def test_common_passwords_and_their_variants_are_refused(
    policy: str, password: str
) -> None:
    broken = problems(policy, password)

    assert "This password is too common: attackers try it first" in broken


@pytest.mark.parametrize("policy", ["modern", "strict"])
@pytest.mark.parametrize("password", FROM_THE_ACCOUNT)
def test_passwords_with_words_of_the_account_are_refused(
    policy: str, password: str
) -> None:
    broken = problems(policy, password)

    assert "A password must not contain your name or email address" in broken


@pytest.mark.parametrize("policy", ["modern", "strict"])
@pytest.mark.parametrize("password", GOOD)
def test_a_good_password_needs_no_composition(policy: str, password: str) -> None:
    assert problems(policy, password) == []


def test_short_words_of_the_account_are_allowed() -> None:
    assert problems("modern", "radar blend ix", email="ad@a.io", name="Ix Ra") == []


def test_the_policies_differ_in_length() -> None:
    assert problems("modern", "kL9#vR2$") == []
    assert problems("modern", "kL9#vR2") == ["A password needs at least 8 characters"]
    assert problems("strict", "kL9#vR2$xQ7") == [
        "A password needs at least 12 characters"
    ]


def test_the_list_has_30_000_passwords() -> None:
    assert len(_common_passwords()) == 30_000


def test_the_list_is_loaded_when_a_policy_first_needs_it() -> None:
    program = (
        "import sys\n"
        "from bedplate.main import create_app\n"
        "create_app()\n"
        "assert not any(n.startswith(('zxcvbn', 'httpx')) for n in sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**os.environ, "BEDPLATE_PASSWORD_POLICY": "modern"},
    )


@given(st.text(max_size=140), st.text(max_size=40), st.text(max_size=40))
def test_every_policy_handles_any_text(password: str, email: str, name: str) -> None:
    for policy in POLICIES:
        problems(policy, password, email=email, name=name)


@pytest.mark.parametrize("policy", POLICIES)
def test_messages_do_not_contain_the_password(policy: str) -> None:
    for password in ("no upper 1", "No digit", "qwerty12", "ada@example.com"):
        for rule in problems(policy, password):
            assert password not in rule

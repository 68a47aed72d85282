"""`bedplate keys revoke` reaches every running process within a second."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import jwt

from bedplate.testing.servers import run_command, serving

KEY = "a key for tests, at least 32 bytes long"
PASSWORD = "Passw0rd-of-tests"
EMAIL = "ada@example.com"


def sign_in(api: str) -> str:
    form = {"username": EMAIL, "password": PASSWORD}
    response = httpx.post(f"{api}/auth/token", data=form, timeout=30)
    return str(response.json()["access_token"])


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def is_accepted(api: str, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    response = httpx.get(f"{api}/users/me", headers=headers, timeout=30)
    assert response.status_code in {200, 401}
    return response.status_code == 200


def assert_rejected_within_a_second(apis: list[str], token: str) -> None:
    deadline = time.monotonic() + 1
    while any(is_accepted(api, token) for api in apis):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_process_rejects_a_revoked_key_within_a_second(
    database_url: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "database_url": database_url,
        "secret_key": KEY,
        "jwt_algorithm": "ES256",
        "embedded_worker": False,
    }

    def bedplate(*arguments: str, stdin: str = "") -> str:
        result = run_command(tmp_path, *arguments, stdin=stdin, **settings)
        assert result.returncode == 0, result.stderr
        return result.stdout

    create = ("users", "create", EMAIL, "--name", "Ada Lovelace", "--password-stdin")
    bedplate(*create, stdin=PASSWORD)
    with (
        serving(tmp_path, **settings) as one,
        serving(tmp_path, **settings) as two,
        serving(tmp_path, "--django-only", **settings) as django,
    ):
        apis = [one.api, two.api, f"{django.url}/django/api/v1"]
        first = sign_in(one.api)
        bedplate("keys", "rotate")
        time.sleep(
            1.1
        )  # the documented limit: now every process signs with the new key
        second = sign_in(two.api)
        assert kid_of(first) != kid_of(second)
        assert kid_of(first) in bedplate("keys", "list")
        for token in (first, second):
            assert all(is_accepted(api, token) for api in apis)

        bedplate("keys", "revoke", kid_of(first))
        assert_rejected_within_a_second(apis, first)
        assert all(is_accepted(api, second) for api in apis)

        output = bedplate("keys", "revoke", kid_of(second))
        assert_rejected_within_a_second(apis, second)
        successor = re.search(r"signed with (\w+)\.", output)
        assert successor is not None
        third = sign_in(one.api)
        assert kid_of(third) == successor[1]
        assert all(is_accepted(api, third) for api in apis)


def test_with_hs256_one_line_explains_what_to_do_instead(tmp_path: Path) -> None:
    for command in (("revoke", "some-key"), ("rotate",), ("list",)):
        result = run_command(tmp_path, "keys", *command, secret_key=KEY)

        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert "BEDPLATE_PREVIOUS_SECRET_KEYS" in result.stderr


def test_an_unknown_key_is_reported_in_one_line(tmp_path: Path) -> None:
    settings = {"secret_key": KEY, "jwt_algorithm": "ES256"}
    run_command(tmp_path, "migrate", **settings)

    result = run_command(tmp_path, "keys", "revoke", "no-such-key", **settings)

    assert result.returncode == 1
    assert result.stderr == (
        "bedplate: There is no signing key 'no-such-key'. "
        "`bedplate keys list` shows them\n"
    )

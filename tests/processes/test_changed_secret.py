"""Signing keys lie in the database under the secret key: a start tells when it isn't
that one.
"""

from pathlib import Path

from bedplate.testing.servers import run_command

KEY = "the key that they were made with"  # pragma: allowlist secret
OTHER_KEY = "the key that somebody changed it to"  # pragma: allowlist secret


def test_keys_of_another_secret_refuse_the_start_in_one_line(tmp_path: Path) -> None:
    run_command(tmp_path, "migrate", secret_key=KEY)
    made = run_command(
        tmp_path, "keys", "rotate", secret_key=KEY, jwt_algorithm="EdDSA"
    )

    refused = run_command(
        tmp_path,
        *("serve", "--port", "0"),
        secret_key=OTHER_KEY,
        jwt_algorithm="EdDSA",
    )

    assert made.returncode == 0, made.stderr
    assert refused.returncode == 1
    assert refused.stderr == (
        "bedplate: BEDPLATE_SECRET_KEY: "
        "the keys in signing_keys were encrypted with another one. "
        "Add that one to BEDPLATE_PREVIOUS_SECRET_KEYS\n"
    )

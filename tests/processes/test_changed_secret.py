"""Signing keys are encrypted with the secret key: a start with another one fails."""

from pathlib import Path

from bedplate.testing.servers import run_command

KEY = "the key that encrypted the signing keys"  # pragma: allowlist secret
OTHER_KEY = "the key that replaced it in the settings"  # pragma: allowlist secret


def test_keys_of_another_secret_stop_the_start_with_one_line(tmp_path: Path) -> None:
    run_command(tmp_path, "migrate", secret_key=KEY)
    rotation = run_command(
        tmp_path, "keys", "rotate", secret_key=KEY, jwt_algorithm="EdDSA"
    )

    start = run_command(
        tmp_path,
        *("serve", "--port", "0"),
        secret_key=OTHER_KEY,
        jwt_algorithm="EdDSA",
    )

    assert rotation.returncode == 0, rotation.stderr
    assert start.returncode == 1
    assert start.stderr == (
        "bedplate: BEDPLATE_SECRET_KEY: "
        "the keys in signing_keys were encrypted with another one. "
        "Add that one to BEDPLATE_PREVIOUS_SECRET_KEYS\n"
    )

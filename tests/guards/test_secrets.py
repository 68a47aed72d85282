"""No file of the repository contains a secret, and a planted one is seen."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[2]
# Ruff finds `password = "…"` (S105), with an exception in each place.
LEFT_TO_RUFF = "Secret Keyword"
PLANTED = "tests/check/corpus/"
PLACEHOLDERS = {"password"}  # as in `smtp://user:password@host`


def tracked_files() -> list[str]:
    process = subprocess.run(
        ["git", "ls-files", "-z", "--cached"],  # noqa: S607, git from PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        name
        for name in process.stdout.split("\0")
        if (ROOT / name).is_file() and not name.startswith(PLANTED)
    ]


def secrets_in(root: Path, files: list[str]) -> Iterator[str]:
    """Yield `file:line: kind` of everything that looks like a secret."""
    secrets = SecretsCollection(root=str(root))
    with default_settings():
        for file in files:
            secrets.scan_file(file)
    for file, secret in secrets:
        if secret.type != LEFT_TO_RUFF and secret.secret_value not in PLACEHOLDERS:
            yield f"{file}:{secret.line_number}: {secret.type}"


def test_no_tracked_file_contains_a_secret() -> None:
    files = tracked_files()

    assert "pyproject.toml" in files
    assert list(secrets_in(ROOT, files)) == []


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (("AKIA", "QYLPMN5HHHFPZAM2"), "AWS Access Key"),
        (("-----BEGIN ", "RSA PRIVATE KEY-----"), "Private Key"),
        (('key = "c3VwZXIg', 'bG9uZyBzdHJpbmcgc2hvdWxkIGNhdXNl"'), "Base64"),
        (("postgresql://me:", "h4rdtoguess@db.example.com/app"), "Basic Auth"),
    ],
)
def test_a_planted_secret_is_seen(
    tmp_path: Path, parts: tuple[str, str], kind: str
) -> None:
    (tmp_path / "planted.py").write_text("".join(parts) + "\n")

    assert any(kind in line for line in secrets_in(tmp_path, ["planted.py"]))

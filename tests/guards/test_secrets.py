"""No secret stands in a file of the repository, and a planted one is seen."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[2]
# `password = "…"` is ruff's to find (S105), with its exceptions where they stand.
LEFT_TO_RUFF = "Secret Keyword"
PLANTED = "tests/check/corpus/"
PLACEHOLDERS = {"password"}  # as in `smtp://user:password@host`


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached"],  # noqa: S607, whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        name
        for name in listed.stdout.split("\0")
        if (ROOT / name).is_file() and not name.startswith(PLANTED)
    ]


def secrets_in(root: Path, files: list[str]) -> Iterator[str]:
    """`file:line: kind` of what looks like a secret."""
    found = SecretsCollection(root=str(root))
    with default_settings():
        for file in files:
            found.scan_file(file)
    for file, secret in found:
        if secret.type != LEFT_TO_RUFF and secret.secret_value not in PLACEHOLDERS:
            yield f"{file}:{secret.line_number}: {secret.type}"


def test_no_tracked_file_holds_a_secret() -> None:
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

    assert any(kind in found for found in secrets_in(tmp_path, ["planted.py"]))

"""`bedplate upgrade`: the changes that the installed version requires."""

from pathlib import Path
from typing import Any

import pytest

from bedplate.deprecations import Deprecation, deprecated

MOVED = Deprecation("bedplate.mail.send_now", "bedplate.jobs.enqueue", since="0.2")
RENAMED = Deprecation("BEDPLATE_MAIL_SERVER", "BEDPLATE_MAIL_URL", since="0.3")
USES = """\
import bedplate.mail
from bedplate.mail import send_now
from bedplate.mail import deliver

bedplate.mail.send_now()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose code uses names that are deprecated only in this test."""
    monkeypatch.setattr("bedplate.deprecations.DEPRECATIONS", (MOVED, RENAMED))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mails.py").write_text(USES)
    (tmp_path / ".env").write_text("BEDPLATE_MAIL_SERVER=mail.example.com\n")
    (tmp_path / "Dockerfile").write_text("# BEDPLATE_MAIL_SERVERS is another\n")
    return tmp_path


def test_each_deprecated_use_is_listed_with_its_replacement(
    bedplate: Any, project: Path
) -> None:
    bedplate("migrate")

    done = bedplate("upgrade", "--check")

    moved = "bedplate.mail.send_now is deprecated since 0.2, use bedplate.jobs.enqueue"
    renamed = "BEDPLATE_MAIL_SERVER is deprecated since 0.3, use BEDPLATE_MAIL_URL"
    assert done.code == 1
    assert done.out.splitlines()[1:] == [
        f"  shop/mails.py:2: {moved}; it is removed in 0.3",
        f"  shop/mails.py:5: {moved}; it is removed in 0.3",
        f"  .env:1: {renamed}; it is removed in 0.4",
        "  BEDPLATE_MAIL_SERVER is not a setting. Use BEDPLATE_MAIL_URL.",
    ]


def test_a_deprecated_variable_is_listed_without_its_value(
    bedplate: Any, project: Path
) -> None:
    done = bedplate("upgrade", mail_server="marker-secret")

    assert "environment: BEDPLATE_MAIL_SERVER is deprecated" in done.out
    assert "marker-secret" not in done.out + done.err


def test_missing_migrations_are_listed_until_they_are_run(
    bedplate: Any,
) -> None:
    before = bedplate("upgrade", "--check")
    bedplate("migrate")
    after = bedplate("upgrade", "--check")

    assert before.code == 1
    assert "migration 0001: Create users and sessions." in before.out
    assert before.out.endswith("run `bedplate migrate`\n")
    assert (after.code, after.out.splitlines()[1:]) == (0, ["  nothing to do"])


def test_a_deprecated_function_warns_and_works() -> None:
    @deprecated(MOVED)
    def send_now(text: str) -> str:
        return text

    with pytest.warns(
        DeprecationWarning, match=r"use bedplate\.jobs\.enqueue"
    ) as caught:
        assert send_now("hello") == "hello"

    assert caught[0].filename == __file__

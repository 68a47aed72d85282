"""A project with three modules that the commands wrote passes its whole check."""

import os
import re
import subprocess
from pathlib import Path

from bedplate.testing.servers import PROGRAM

ROOT = Path(__file__).parents[2]
# Between them every type, every flag, a default of each kind and references.
MODULES = {
    "invoices": """
        number:str:unique total:decimal(10,2):index due:date customer:ref(users)
        paid:bool=false notes:text? status:enum(draft,sent,paid)=draft
    """,
    "payments": """
        invoice:ref(invoices) payer:ref(users):unique code:str(5):unique
        paid_at:datetime:unique method:enum(cash,card) reference:uuid:unique
        fee:decimal(4,4)=0.5 booked:date=2026-01-01
    """,
    "order_lines": """
        invoice:ref(invoices):unique payment:ref(payments)? quantity:int=1 label:text
        level:bigint:unique day:date:unique weight:float extra:json tags:json?
        token:uuid? sent_at:datetime:index
    """,
}
CHECKS = [
    ("ruff", "format", "--check"),
    ("ruff", "check"),
    ("mypy",),
    ("lint-imports", "--no-logo"),
    ("bedplate", "migrate"),
    ("pytest", "-q", "-p", "xdist", "-n", "2"),
]
LISTS = "    return await invoices.list_page(params, caller)"
LISTS_BADLY = """
    import time

    from planted_shop.modules.invoices.repository import LIST_INVOICES

    time.sleep(0)
    page = await invoices.list_page(params, caller)
    for invoice in page.items:
        await invoices.get(invoice.id, caller)
    return page
"""
# The code to replace and its replacement, by file; and the tests that must then fail.
SPOILT = {
    "router.py": (LISTS, LISTS_BADLY),
    "service.py": ("if_match.check(current)", "pass"),
    "repository.py": ("Scope(OWN)", "Scope(sa.true())"),
}
FAILURES = {
    "a_list_asks_no_more_for_more_rows",
    "nothing_holds_up_the_event_loop",
    "an_invoice_must_belong_to_the_caller",
    "another_user_does_not_know_of_it",
    "what_has_changed_meanwhile_is_not_overwritten",
}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment, as if the project were installed in it."""
    program, *arguments = command
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BEDPLATE_")}
    return subprocess.run(
        [str(Path(PROGRAM[0]).with_name(program)), *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_with_three_modules_passes_its_whole_check(tmp_path: Path) -> None:
    folder = tmp_path / "planted-shop"
    created = run(
        tmp_path,
        "bedplate",
        "new",
        folder.name,
        "--yes",
        "--bedplate-source",
        str(ROOT),
    )
    assert created.returncode == 0, created.stderr

    for name, fields in MODULES.items():
        added = run(folder, "bedplate", "add", "module", name, fields, "--jobs")
        assert added.returncode == 0, added.stderr
    for check in CHECKS:
        done = run(folder, *check)
        assert done.returncode == 0, done.stdout + done.stderr

    routes = run(folder, "bedplate", "routes").stdout
    assert "/api/v1/order-lines/{order_line_id}" in routes
    assert_spoilt_code_is_seen(folder)


def assert_spoilt_code_is_seen(folder: Path) -> None:
    """Spoil the project's code and check that its own tests notice."""
    for file, (code, replacement) in SPOILT.items():
        path = folder / "src" / "planted_shop" / "modules" / "invoices" / file
        assert code in path.read_text()
        path.write_text(path.read_text().replace(code, replacement))

    linted = run(folder, "lint-imports", "--no-logo")
    tested = run(folder, "pytest", "-q", "-k", "sqlite and invoice")

    assert "A router never imports a repository BROKEN" in linted.stdout
    failed = re.findall(r"^FAILED .*::test_(\w+)\[", tested.stdout, re.MULTILINE)
    assert set(failed) == FAILURES, tested.stdout


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "bedplate", "new", "planted-shop", "--dry-run", "--no-django")

    assert "main.py" in done.stdout
    assert "no file was written" in done.stdout
    assert not any(tmp_path.iterdir())


def test_an_existing_project_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path, "bedplate", "new", "planted-shop", "--yes", "--ci", "none")

    again = run(tmp_path, "bedplate", "new", "planted-shop", "--yes")

    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "exists already and is not an empty folder" in again.stderr
    assert not (tmp_path / "planted-shop" / ".github").exists()

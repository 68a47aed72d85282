"""A project with three modules, made by the commands, passes its whole check."""

import os
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
UPWARDS = "import planted_shop.modules.invoices.repository"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A program of this environment, with the project as if it were installed."""
    program, *arguments = command
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BEDPLATE_")}
    return subprocess.run(
        [str(Path(PROGRAM[0]).with_name(program)), *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_with_three_modules_passes_its_whole_check(tmp_path: Path) -> None:
    folder = tmp_path / "planted-shop"
    made = run(tmp_path, "bedplate", "new", folder.name, "--bedplate-source", str(ROOT))
    assert made.returncode == 0, made.stderr

    for name, fields in MODULES.items():
        added = run(folder, "bedplate", "add", "module", name, fields, "--jobs")
        assert added.returncode == 0, added.stderr
    for check in CHECKS:
        done = run(folder, *check)
        assert done.returncode == 0, done.stdout + done.stderr

    listed = run(folder, "bedplate", "routes").stdout
    assert "/api/v1/order-lines/{order_line_id}" in listed
    # Its contracts are no ornament.
    router = folder / "src" / "planted_shop" / "modules" / "invoices" / "router.py"
    router.write_text(f"{router.read_text()}\n{UPWARDS}\n")
    assert "BROKEN" in run(folder, "lint-imports", "--no-logo").stdout


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "bedplate", "new", "planted-shop", "--dry-run", "--no-django")

    assert "main.py" in done.stdout
    assert "Nothing is written" in done.stdout
    assert not any(tmp_path.iterdir())


def test_a_project_is_made_once(tmp_path: Path) -> None:
    run(tmp_path, "bedplate", "new", "planted-shop", "--ci", "none")

    again = run(tmp_path, "bedplate", "new", "planted-shop")

    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "is there already, and not empty" in again.stderr
    assert not (tmp_path / "planted-shop" / ".github").exists()

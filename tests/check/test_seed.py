"""The reference's snippets: the documentation lists exactly what is found in them."""

import shutil
from itertools import groupby
from pathlib import Path

from bedplate.check.findings import Finding
from bedplate.check.run import check_project

ROOT = Path(__file__).parents[2]
SEED = Path(__file__).parent / "corpus" / "seed"


def row(findings: list[Finding]) -> str:
    rule = findings[0].rule
    places = [
        f"`{path.rpartition('/')[2]}` {' '.join(str(f.line) for f in of_file)}"
        for path, of_file in groupby(findings, key=lambda f: f.path)
    ]
    return f"| {rule.topic} | `{rule.id}` | {', '.join(places)} |"


def test_the_page_lists_the_findings_in_the_reference(tmp_path: Path) -> None:
    shutil.copytree(SEED, tmp_path / "seed")

    report = check_project(tmp_path / "seed", without=["mypy"])

    grouped = groupby(report.findings, key=lambda finding: finding.rule.id)
    rows = [row(list(findings)) for _, findings in grouped]
    page = (ROOT / "docs" / "how-to" / "check.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| ")][
        -len(rows) :
    ] == rows

"""A corpus of planted violations and clean twins: all are found, and nothing else.

A comment marks each line that breaks a rule: `# finds: rule, rule`. No other line may
be reported.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.check.run import check_project

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path.parent.name for path in CORPUS.glob("*/violation"))
Place = tuple[str, int, str]


def planted(folder: Path) -> Iterator[Place]:
    for file in sorted(folder.rglob("*.*")):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            for rules in re.findall(r"# finds: (.*)", line):
                for rule in rules.split(", "):
                    yield file.relative_to(folder).as_posix(), number, rule


def find(case: str, twin: str, tmp_path: Path) -> Iterator[Place]:
    """Yield the findings in a copy, which this project's settings don't affect."""
    copy = tmp_path / case / twin
    shutil.copytree(CORPUS / case / twin, copy, ignore=shutil.ignore_patterns("__*__"))
    # Mypy takes seconds, so it runs only on the case of types.
    report = check_project(copy, without=() if case == "types" else ("mypy",))
    for finding in report.findings:
        yield finding.path, finding.line, finding.rule.id


def test_every_violation_is_found_and_no_clean_twin_is_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, missed, false = Counter[str](), Counter[str](), Counter[str]()
    wrong = []
    for case in CASES:
        violations = Counter(planted(CORPUS / case / "violation"))
        findings = Counter(find(case, "violation", tmp_path))
        in_clean = Counter(find(case, "clean", tmp_path))
        unfound, extra = violations - findings, findings - violations + in_clean
        expected.update(rule for _, _, rule in violations.elements())
        missed.update(rule for _, _, rule in unfound.elements())
        false.update(rule for _, _, rule in extra.elements())
        wrong += [(case, *place) for place in unfound + extra]

    with capsys.disabled():
        print(f"\n{'rule':<26}planted  recall  precision")
        for rule in sorted({*expected, *false}):
            right = expected[rule] - missed[rule]
            recall = f"{right}/{expected[rule]}"
            precision = f"{right}/{right + false[rule]}"
            print(f"{rule:<26}{expected[rule]:>7}{recall:>8}{precision:>11}")
    assert wrong == []

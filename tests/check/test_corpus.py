"""A corpus of planted violations and clean twins: all found, none made up.

A line that breaks a rule says so: `# finds: rule, rule`. Everything else must be left
alone.
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
Found = tuple[str, int, str]


def planted(folder: Path) -> Iterator[Found]:
    for file in sorted(folder.rglob("*.*")):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            for rules in re.findall(r"# finds: (.*)", line):
                for rule in rules.split(", "):
                    yield file.relative_to(folder).as_posix(), number, rule


def found(case: str, twin: str, tmp_path: Path) -> Iterator[Found]:
    """What is found in a copy of its own, away from this project's settings."""
    copy = tmp_path / case / twin
    shutil.copytree(CORPUS / case / twin, copy, ignore=shutil.ignore_patterns("__*__"))
    # Mypy takes seconds, so it runs where types are what is planted.
    report = check_project(copy, without=() if case == "types" else ("mypy",))
    for finding in report.findings:
        yield finding.path, finding.line, finding.rule.id


def test_every_violation_is_found_and_no_clean_twin_is_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, missed, made_up = Counter[str](), Counter[str](), Counter[str]()
    wrong = []
    for case in CASES:
        there = Counter(planted(CORPUS / case / "violation"))
        told = Counter(found(case, "violation", tmp_path))
        flagged = Counter(found(case, "clean", tmp_path))
        expected.update(rule for _, _, rule in there.elements())
        missed.update(rule for _, _, rule in (there - told).elements())
        made_up.update(rule for _, _, rule in (told - there + flagged).elements())
        wrong += [(case, *f) for f in (there - told) + (told - there) + flagged]

    with capsys.disabled():
        print(f"\n{'rule':<26}planted  recall  precision")
        for rule in sorted({*expected, *made_up}):
            right = expected[rule] - missed[rule]
            recall = f"{right}/{expected[rule]}"
            precision = f"{right}/{right + made_up[rule]}"
            print(f"{rule:<26}{expected[rule]:>7}{recall:>8}{precision:>11}")
    assert wrong == []

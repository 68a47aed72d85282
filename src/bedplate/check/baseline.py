"""Baselines: files of known findings, which later runs leave out."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bedplate.check.findings import Report
from bedplate.check.project import CheckError

VERSION = 1


def write_baseline(path: Path, report: Report) -> None:
    """Write a run's findings to a file.

    A finding is identified by the text of its line, so that the line may move.

    Raises:
        CheckError: the file can't be written.
    """
    findings = [
        {"rule": f.rule.id, "path": f.path, "line": f.text.strip(), "id": f.fingerprint}
        for f in report.findings
    ]
    text = json.dumps({"version": VERSION, "findings": findings}, indent=2)
    try:
        path.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise CheckError(f"the baseline can't be written: {error}") from error


def without_known(path: Path, report: Report) -> Report:
    """Return a report without the findings of a baseline.

    Each entry of the baseline hides one finding, so a second copy of a line is new.

    Raises:
        CheckError: the file can't be read or isn't a baseline.
    """
    try:
        baseline = json.loads(path.read_text("utf-8"))
        remaining = Counter(finding["id"] for finding in baseline["findings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckError(f"{path} is not a baseline: {error}") from error
    new = []
    for finding in report.findings:
        if remaining[finding.fingerprint]:
            remaining[finding.fingerprint] -= 1
        else:
            new.append(finding)
    hidden = len(report.findings) - len(new)
    return replace(report, findings=new, hidden=hidden, gone=remaining.total())

"""What an old project knows of already: findings that a run leaves out."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bedplate.check.findings import Report
from bedplate.check.project import CheckError

VERSION = 1


def write_baseline(path: Path, report: Report) -> None:
    """Keep a run's findings. A line is known by its text, so that it may move.

    Raises:
        CheckError: the file can't be written.
    """
    known = [
        {"rule": f.rule.id, "path": f.path, "line": f.text.strip(), "id": f.fingerprint}
        for f in report.findings
    ]
    text = json.dumps({"version": VERSION, "findings": known}, indent=2)
    try:
        path.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise CheckError(f"the baseline can't be written: {error}") from error


def without_known(path: Path, report: Report) -> Report:
    """A report of what a baseline doesn't hold; one that it holds hides one finding.

    Raises:
        CheckError: the file is no baseline.
    """
    try:
        kept = json.loads(path.read_text("utf-8"))
        known = Counter(finding["id"] for finding in kept["findings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckError(f"{path} is no baseline: {error}") from error
    new = []
    for finding in report.findings:
        if known[finding.fingerprint]:
            known[finding.fingerprint] -= 1
        else:
            new.append(finding)
    hidden = len(report.findings) - len(new)
    return replace(report, findings=new, known=hidden, gone=known.total())

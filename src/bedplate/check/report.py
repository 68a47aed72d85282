"""Writes a report as text, as JSON, and as SARIF 2.1.0 for code scanning."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bedplate.check.findings import Finding, Report, Rule

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def print_text(report: Report, console: Console) -> None:
    """Print the findings by topic and rule. Each rule's why and fix appear once."""
    for topic, of_topic in groupby(report.findings, key=lambda f: f.rule.topic):
        console.rule(Text(topic, style="bold"), align="left", style="dim")
        for rule, of_rule in groupby(of_topic, key=lambda f: f.rule.id):
            _print_rule(rule, list(of_rule), console)
    for notice in report.notices:
        console.print(Text.assemble(("note  ", "cyan"), notice.message))
    if report.notices:
        console.print()
    console.print(_summary(report))


def _print_rule(name: str, findings: list[Finding], console: Console) -> None:
    rule = findings[0].rule
    console.print()
    console.print(Text.assemble((f"  {name}", "bold red"), (f"  {rule.tool}", "dim")))
    for finding in findings:
        place = f"{finding.path}:{finding.line}"
        line = Text.assemble((place, "cyan"), "  ", finding.message)
        console.print(Padding(line, (0, 0, 0, 4)))
    console.print(Padding(Text.assemble(("why   ", "dim"), rule.why), (1, 0, 0, 4)))
    console.print(Padding(Text.assemble(("fix   ", "dim"), rule.fix), (0, 0, 1, 4)))


def _summary(report: Report) -> Text:
    tools = ", ".join(["Bedplate's rules", *report.tools])
    scope = f"{_counted(report.files, 'file')} checked with {tools}"
    if not report.findings:
        text = Text.assemble(("Nothing found", "bold green"), f": {scope}")
    else:
        places = len({finding.path for finding in report.findings})
        result = (
            f"{_counted(len(report.findings), 'finding')} in {_counted(places, 'file')}"
        )
        text = Text.assemble((result, "bold red"), f": {scope}")
    if report.hidden:
        text.append(f"; {report.hidden} more are in the baseline")
    if report.gone:
        text.append(f"; {report.gone} of the baseline no longer occur, write it again")
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    report_object = {
        "version": 1,
        "findings": [_finding(finding) for finding in report.findings],
        "notices": [notice.message for notice in report.notices],
        "files": report.files,
        "tools": list(report.tools),
        "known": report.hidden,
        "gone": report.gone,
    }
    return json.dumps(report_object, indent=2, ensure_ascii=False)


def _finding(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "path": finding.path,
        "line": finding.line,
        "rule": rule.id,
        "topic": rule.topic,
        "message": finding.message,
        "why": rule.why,
        "fix": rule.fix,
        "tool": rule.tool,
        "url": rule.url,
        "fingerprint": finding.fingerprint,
    }


def as_sarif(report: Report) -> str:
    """Return the report as SARIF 2.1.0, which code scanning and editors read."""
    rules = list({f.rule.id: f.rule for f in report.findings}.values())
    indexes = {rule.id: index for index, rule in enumerate(rules)}
    driver = {
        "name": "bedplate check",
        "version": version("bedplate"),
        "rules": [_sarif_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": notice.message}}
                    for notice in report.notices
                ],
            }
        ],
        "originalUriBaseIds": {"PROJECT": {"description": {"text": "The project."}}},
        "results": list(_sarif_results(report, indexes)),
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    sarif_rule = {
        "id": rule.id,
        "shortDescription": {"text": f"{rule.topic}: {rule.id}"},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        "properties": {"tags": [rule.topic, rule.tool]},
    }
    return sarif_rule | ({"helpUri": rule.url} if rule.url else {})


def _sarif_results(report: Report, indexes: dict[str, int]) -> Iterator[dict[str, Any]]:
    occurrences: Counter[str] = Counter()
    for finding in report.findings:
        artifact = {"uri": quote(finding.path), "uriBaseId": "PROJECT"}
        region = {"startLine": max(finding.line, 1)}
        place = {"artifactLocation": artifact, "region": region}
        # Numbered, because fingerprints must differ within a run.
        occurrences[finding.fingerprint] += 1
        fingerprint = f"{finding.fingerprint}:{occurrences[finding.fingerprint]}"
        yield {
            "ruleId": finding.rule.id,
            "ruleIndex": indexes[finding.rule.id],
            "level": "warning",
            "message": {"text": f"{finding.message}. {finding.rule.why}"},
            "locations": [{"physicalLocation": place}],
            "partialFingerprints": {"bedplate/v1": fingerprint},
        }

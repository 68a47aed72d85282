"""Runs every rule on a project and returns a sorted report."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from bedplate.check.application import Application, ApplicationError, load_application
from bedplate.check.findings import Finding, Notice, Report, Topic
from bedplate.check.index import ProjectIndex
from bedplate.check.project import Project
from bedplate.check.responses import find_in_document, tells_of_callers
from bedplate.check.rules import find_by_syntax
from bedplate.check.tools import SECRET, TOOLS, has_contracts, is_installed

CHECKED_BY_DOCUMENT = {"bare-list", "no-response-model", "unbounded-input"}


def check_project(
    root: Path, app: str | None = None, without: Collection[str] = ()
) -> Report:
    """Check the project in a folder and return all findings.

    The tools in `without`, and those that its settings exclude, aren't run.

    Raises:
        CheckError: the folder doesn't exist, or its settings are wrong.
    """
    project = Project(root)
    notices: list[Notice] = []
    findings: list[Finding] = []
    application = _application(project, app or project.app, notices)
    findings += find_by_syntax(project.sources, _index(project, application))
    if application is not None:
        findings += find_in_document(project, application)
    excluded = {*without, *project.settings.without}
    tools = [*_run_tools(project, excluded, findings, notices)]
    notices += [Notice(f"not read: {reason}") for reason in project.unreadable]
    reported = [*_without_duplicates(_not_ignored(project, findings))]
    return Report(reported, notices, files=len(project.sources), tools=tools)


def _application(
    project: Project, name: str | None, notices: list[Notice]
) -> Application | None:
    try:
        application = load_application(project, name)
    except ApplicationError as error:
        problem = "the application can't be imported, so only its source was checked"
        notices.append(Notice(f"{problem} ({error})"))
        return None
    if application is None:
        problem = "no application was found, so only the source was checked"
        notices.append(Notice(f"{problem}; name it with --app package.module:app"))
    return application


def _index(project: Project, application: Application | None) -> ProjectIndex:
    covered = {"layer-skipped"} if has_contracts(project) else set()
    if application is not None:
        covered |= CHECKED_BY_DOCUMENT
        if tells_of_callers(application.document):
            covered.add("open-to-strangers")
    return ProjectIndex(project.sources, covered, {*project.settings.public})


def _run_tools(
    project: Project,
    excluded: Collection[str],
    findings: list[Finding],
    notices: list[Notice],
) -> Iterator[str]:
    for tool in TOOLS:
        if tool.name in excluded:
            continue
        if not is_installed(tool):
            problem = f"{tool.name} isn't installed, so its rules were left out"
            notices.append(
                Notice(f"{problem}; `pip install 'bedplate[check]'` installs it")
            )
            continue
        yield tool.name
        for result in tool.run(project):
            if isinstance(result, Notice):
                notices.append(result)
            else:
                findings.append(result)


def _not_ignored(project: Project, findings: list[Finding]) -> Iterator[Finding]:
    """Yield the findings that aren't ignored, each with its line's text.

    They are sorted by topic, rule and place.
    """
    topics = [*Topic]
    order = sorted(
        findings, key=lambda f: (topics.index(f.rule.topic), f.rule.id, f.path, f.line)
    )
    for finding in order:
        source = project.by_path.get(finding.path)
        ignored = {*project.settings.ignore}
        text = ""
        if source is not None:
            ignored |= source.ignores(finding.line)
            text = source.line(finding.line)
        if finding.rule.id not in ignored:
            yield replace(finding, text=text)


def _without_duplicates(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield each finding once.

    A secret that another rule reports on the same line is left out, too.
    """
    reported: set[tuple[str, str, int, str]] = set()
    secrets: set[tuple[str, int]] = set()
    for finding in findings:
        place = (finding.path, finding.line)
        if finding.rule.topic is Topic.SECRETS and finding.rule is not SECRET:
            secrets.add(place)
        identity = (finding.rule.id, *place, finding.message)
        if identity not in reported and not (
            finding.rule is SECRET and place in secrets
        ):
            reported.add(identity)
            yield finding

"""One run: every rule over a project, sorted, without what was asked to be left out."""

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

TOLD_BY_DOCUMENT = {"bare-list", "no-response-model", "unbounded-input"}


def check_project(
    root: Path, app: str | None = None, without: Collection[str] = ()
) -> Report:
    """Everything that is wrong with the project in a folder.

    `without` names tools that aren't run, beside those that its settings name.

    Raises:
        CheckError: there is no such folder, or its settings are wrong.
    """
    project = Project(root)
    notices: list[Notice] = []
    findings: list[Finding] = []
    application = _application(project, app or project.app, notices)
    findings += find_by_syntax(project.sources, _facts(project, application))
    if application is not None:
        findings += find_in_document(project, application)
    left_out = {*without, *project.settings.without}
    ran = [*_run_tools(project, left_out, findings, notices)]
    notices += [Notice(f"not read: {reason}") for reason in project.unreadable]
    kept = [*_without_doubles(_wanted(project, findings))]
    return Report(kept, notices, files=len(project.sources), tools=ran)


def _application(
    project: Project, name: str | None, notices: list[Notice]
) -> Application | None:
    try:
        application = load_application(project, name)
    except ApplicationError as error:
        what = "the application can't be imported, so its source is all that was read"
        notices.append(Notice(f"{what} ({error})"))
        return None
    if application is None:
        what = "no application was found, so the source is all that was read"
        notices.append(Notice(f"{what}; name it with --app package.module:app"))
    return application


def _facts(project: Project, application: Application | None) -> ProjectIndex:
    told = {"layer-skipped"} if has_contracts(project) else set()
    if application is not None:
        told |= TOLD_BY_DOCUMENT
        if tells_of_callers(application.document):
            told.add("open-to-strangers")
    return ProjectIndex(project.sources, told, {*project.settings.public})


def _run_tools(
    project: Project,
    left_out: Collection[str],
    findings: list[Finding],
    notices: list[Notice],
) -> Iterator[str]:
    for tool in TOOLS:
        if tool.name in left_out:
            continue
        if not is_installed(tool):
            what = f"{tool.name} isn't installed, its rules were left out"
            notices.append(Notice(f"{what}: `pip install 'bedplate[check]'` brings it"))
            continue
        yield tool.name
        for found in tool.run(project):
            if isinstance(found, Notice):
                notices.append(found)
            else:
                findings.append(found)


def _wanted(project: Project, findings: list[Finding]) -> Iterator[Finding]:
    """What isn't ignored, with the line that it stands in; by topic, rule and place."""
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


def _without_doubles(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Each once; and a secret that is known by its name isn't told again."""
    seen: set[tuple[str, str, int, str]] = set()
    named: set[tuple[str, int]] = set()
    for finding in findings:
        place = (finding.path, finding.line)
        if finding.rule.topic is Topic.SECRETS and finding.rule is not SECRET:
            named.add(place)
        told = (finding.rule.id, *place, finding.message)
        if told not in seen and not (finding.rule is SECRET and place in named):
            seen.add(told)
            yield finding

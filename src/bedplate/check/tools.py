"""Runs the other tools: ruff, mypy, import-linter and detect-secrets."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from bedplate.check.findings import Finding, Notice, Rule, Topic
from bedplate.check.project import Project, Source, paths_of

Result = Finding | Notice

_BANNED = {
    "jose": "hardly maintained, and its checks had security holes; use PyJWT",
    "passlib": "unmaintained, and fails with bcrypt 5; use pwdlib",
}

# Ruff's rules by the beginning of their codes. The longest match applies.
RUFF_RULES = {
    "ANN": Rule(
        "ANN",
        Topic.TYPES,
        why="Type checkers skip code without annotations, so a None or a wrong "
        "argument is only found at run time.",
        fix="Annotate every parameter and the return type.",
    ),
    "ASYNC": Rule(
        "ASYNC",
        Topic.SYNC_IN_ASYNC,
        why="The event loop does nothing else until the call returns: one slow call "
        "delays every request.",
        fix="Use an async library, or `await asyncio.to_thread(…)`.",
    ),
    "B006": Rule(
        "B006",
        Topic.OUTDATED,
        why="The default is created once and shared by all calls.",
        fix="Use None as the default and create the list inside the function.",
    ),
    "DTZ": Rule(
        "DTZ",
        Topic.TIME,
        why="A time without a time zone can't be compared with one that has it, and "
        "changes its meaning between machines.",
        fix="Use aware times: `datetime.now(UTC)`.",
    ),
    "F821": Rule(
        "F821",
        Topic.OUTDATED,
        why="The name isn't defined: the line raises NameError.",
        fix="Import or define it.",
    ),
    "S": Rule(
        "S",
        Topic.SECURITY,
        why="Bandit's rules: patterns that caused vulnerabilities in many programs.",
        fix="Follow the rule's page, or justify the line with `# noqa` and a reason.",
    ),
    "S105": Rule(
        "S105",
        Topic.SECRETS,
        why="Everyone who can read the code or its history has the secret.",
        fix="Read it from the environment, and replace the secret: it has leaked.",
    ),
    "TID251": Rule(
        "TID251",
        Topic.OUTDATED,
        why="The library protects passwords or tokens and is no longer maintained.",
        fix="Replace it with the library that the message names.",
    ),
}
RUFF_RULES |= dict.fromkeys(("S106", "S107"), RUFF_RULES["S105"])
# Asserts state invariants, and subprocesses with fixed arguments are safe.
_RUFF_IGNORED = ("ANN401", "S101", "S404", "S603", "S607")


def run_ruff(project: Project) -> Iterator[Result]:
    sources = project.code
    if not sources:
        return
    bans = ", ".join(f'{name} = {{msg = "{why}"}}' for name, why in _BANNED.items())
    done = _run(
        project,
        *("ruff", "check", "--no-cache", "--output-format=json"),
        f"--select={','.join(RUFF_RULES)}",
        f"--ignore={','.join(_RUFF_IGNORED)}",
        f"--config=lint.flake8-tidy-imports.banned-api = {{{bans}}}",
        *("--", *paths_of(sources)),
    )
    if done.returncode not in (0, 1):
        yield Notice(f"ruff failed: {_last_line(done.stderr)}")
        return
    for violation in json.loads(done.stdout):
        code, path = violation["code"], project.relative(violation["filename"])
        line = violation["location"]["row"]
        if path is None or code.startswith("invalid"):
            continue
        if code != "S105" or not _is_a_name(project.by_path[path], line):
            yield Finding(
                _ruff_rule(code, violation["url"]),
                path,
                line,
                violation["message"],
            )


def _ruff_rule(code: str, url: str | None) -> Rule:
    prefix = max((c for c in RUFF_RULES if code.startswith(c)), key=len)
    family = RUFF_RULES[prefix]
    return Rule(code, family.topic, family.why, family.fix, tool="ruff", url=url)


# Ruff's ANN and F821 report these without importing anything.
_RUFF_FINDS = {"name-defined", "no-untyped-def"}


def run_mypy(project: Project) -> Iterator[Result]:
    code = project.code
    if not code:
        return
    arguments = ["mypy", "--output=json", "--no-error-summary"]
    if not _has_mypy_settings(project):
        arguments.append(f"--config-file={Path(__file__).with_name('mypy.ini')}")
    if "files" not in project.tools.get("mypy", {}):
        arguments += ["--", *paths_of(code)]
    done = _run(project, *arguments)
    if done.returncode not in (0, 1):
        first = (done.stdout or done.stderr).strip().partition("\n")[0]
        yield Notice(f"mypy couldn't check the types: {_message_of(first)}")
        return
    for line in done.stdout.splitlines():
        error = json.loads(line)
        path = project.relative(error["file"])
        is_new = error["severity"] == "error" and error["code"] not in _RUFF_FINDS
        if is_new and path in project.by_path:
            rule = _mypy_rule(error["code"])
            yield Finding(rule, path, error["line"], error["message"])


def _has_mypy_settings(project: Project) -> bool:
    if "mypy" in project.tools:
        return True
    return any((project.root / name).is_file() for name in ("mypy.ini", ".mypy.ini"))


def _message_of(line: str) -> str:
    try:
        return f"{json.loads(line)['file']}: {json.loads(line)['message']}"
    except (ValueError, KeyError):
        return line


def _mypy_rule(code: str | None) -> Rule:
    return Rule(
        f"mypy:{code or 'misc'}",
        Topic.TYPES,
        why="The code doesn't match its types, so some call of it fails at run time.",
        fix="Correct the code or the annotation, whichever is wrong.",
        tool="mypy",
        url=f"https://mypy.readthedocs.io/en/stable/_refs.html#code-{code}",
    )


CONTRACT = Rule(
    "import-contract",
    Topic.FAT,
    why="The import breaks a contract of the project about its layers.",
    fix="Call the layer in between, or move the shared code below both layers.",
    tool="import-linter",
)
_IMPORT = re.compile(r"^[-\s]*(\S+) -> (\S+) \(l\.(\d+)")


def run_import_linter(project: Project) -> Iterator[Result]:
    if not has_contracts(project):
        return
    done = _run(
        project,
        "-c",
        # import-linter can't be run with `python -m`, and it looks for packages only
        # in the current folder, not in src.
        f"import sys; sys.path.append({str(project.root / 'src')!r});"
        "from importlinter.cli import lint_imports_command as run; run()",
        "--no-logo",
        "--no-cache",
    )
    broken = set(re.findall(r"^(.+) BROKEN\b", done.stdout, re.MULTILINE))
    contract, located = "", set()
    for line in done.stdout.splitlines():
        if line in broken:
            contract = line
        elif match := _IMPORT.match(line):
            module, imported, number = match.groups()
            if (path := _path_of(project, module)) is not None:
                located.add(contract)
                message = f"`{module}` imports `{imported}`: {contract}"
                yield Finding(CONTRACT, path, int(number), message)
    for contract in sorted(broken - located):
        yield Finding(CONTRACT, _contracts_file(project), 1, f"broken: {contract}")
    if done.returncode and not broken:
        yield Notice(f"import-linter failed: {_last_line(done.stdout + done.stderr)}")


def has_contracts(project: Project) -> bool:
    return _contracts_file(project) != ""


def _contracts_file(project: Project) -> str:
    """Return the file with the import contracts, or an empty text without contracts."""
    for name in (".importlinter", "setup.cfg"):
        if (project.root / name).is_file() and "[importlinter" in project.text(name):
            return name
    return "pyproject.toml" if "importlinter" in project.tools else ""


def _path_of(project: Project, module: str) -> str | None:
    tail = module.replace(".", "/")
    for path in project.by_path:
        if f"/{path}".endswith((f"/{tail}.py", f"/{tail}/__init__.py")):
            return path
    return None


SECRET = Rule(
    "secret",
    Topic.SECRETS,
    why="Everyone who can read the repository or its history has the secret.",
    fix="Read it from the environment, and replace the secret: it has leaked.",
    tool="detect-secrets",
)
_JUSTIFIED = re.compile(r"# noqa: .*S10[567]")
_NO_SECRET = {"Public IP (ipv4)"}
_GUESSED = {"Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword"}
_PLACEHOLDERS = {"password"}  # as in `smtp://user:password@host`


def run_detect_secrets(project: Project) -> Iterator[Result]:
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import default_settings

    secrets = SecretsCollection(root=str(project.root))
    with default_settings():
        for path in project.files:
            secrets.scan_file(path)
    for path, secret in sorted(
        secrets, key=lambda pair: (pair[0], pair[1].line_number)
    ):
        if secret.type in _NO_SECRET or secret.secret_value in _PLACEHOLDERS:
            continue
        source = project.by_path.get(path)
        if secret.type in _GUESSED and not _is_likely(source, secret):
            continue
        yield Finding(SECRET, path, secret.line_number, secret.type)


def _is_likely(source: Source | None, secret: Any) -> bool:
    """Return whether a guess is worth reporting: a value in code, not in a comment."""
    if source is None or source.kind != "code" or " " in secret.secret_value:
        return False
    if _JUSTIFIED.search(source.line(secret.line_number)):
        return False
    is_a_value = any(
        isinstance(value, ast.Constant)
        and value.value == secret.secret_value
        and value.lineno == secret.line_number
        for node in source.nodes
        for value in _assigned_values(node)
    )
    return is_a_value and not _is_a_name(source, secret.line_number)


def _assigned_values(node: ast.AST) -> list[ast.expr]:
    """Return the values that a node assigns to a name, a key or a parameter."""
    match node:
        case ast.Assign() | ast.keyword():
            return [node.value]
        case ast.AnnAssign() if node.value is not None:
            return [node.value]
        case ast.Dict():
            return node.values
    return []


def _is_a_name(source: Source, line: int) -> bool:
    """Return whether a value only repeats its name: `RESET_TOKEN = "reset-token"`.

    OAuth's `token_type = "bearer"` isn't a secret either.
    """
    text = source.line(line).partition("#")[0]
    if re.search(r"token_?(type|url)", text, re.IGNORECASE):
        return True
    name, _, value = text.partition("=")
    name, value = (re.sub(r"[^a-z0-9]", "", part.lower()) for part in (name, value))
    return name == value


class Tool(NamedTuple):
    """A tool, and the package that it is imported from."""

    name: str
    package: str
    run: Callable[[Project], Iterator[Result]]


TOOLS = (
    Tool("ruff", "ruff", run_ruff),
    Tool("mypy", "mypy", run_mypy),
    Tool("import-linter", "importlinter", run_import_linter),
    Tool("detect-secrets", "detect_secrets", run_detect_secrets),
)


def is_installed(tool: Tool) -> bool:
    return find_spec(tool.package) is not None


def _run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool with `python -m`, or a program with `-c`, in the project's folder.

    `-P` excludes that folder from the tool's own imports: it may hold a `types.py`.
    """
    target = arguments if arguments[0] == "-c" else ("-m", *arguments)
    return subprocess.run(
        [sys.executable, "-P", *target],
        cwd=project.root,
        env={**os.environ, "MYPYPATH": str(project.root / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "without an error message"

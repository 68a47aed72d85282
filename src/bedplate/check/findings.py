"""Rules, findings, notices and reports."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256


class Topic(StrEnum):
    """The subject of a rule. The six best-known anti-patterns come first."""

    SYNC_IN_ASYNC = "Sync in async"
    N_PLUS_ONE = "N+1 queries"
    FAT = "Fat models and routes"
    VALIDATION = "Missing validation"
    SECRETS = "Hard-coded secrets"
    TYPES = "No type hints"
    STRANGERS = "Open to strangers"
    SECURITY = "Security"
    TRANSACTIONS = "Transactions"
    DATABASE = "Database"
    ERRORS = "Errors"
    TIME = "Time"
    OUTDATED = "Outdated or broken"


@dataclass(frozen=True)
class Rule:
    """A pattern that a project should avoid, why, and how to fix it."""

    id: str
    topic: Topic
    why: str
    fix: str
    tool: str = "bedplate"
    url: str | None = None


@dataclass(frozen=True)
class Finding:
    """One place where a rule is broken."""

    rule: Rule
    path: str
    """Relative to the project's folder, with slashes."""
    line: int
    message: str
    text: str = ""
    """The line's text, by which a baseline identifies a finding that has moved."""

    @property
    def fingerprint(self) -> str:
        identity = f"{self.rule.id}\0{self.path}\0{self.text.strip()}"
        return sha256(identity.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Notice:
    """A check that failed or was left out, and why."""

    message: str


@dataclass(frozen=True)
class Report:
    """The results of a run."""

    findings: Sequence[Finding]
    notices: Sequence[Notice]
    files: int
    """The number of Python files that were read."""
    hidden: int = 0
    """The number of findings that a baseline hid."""
    gone: int = 0
    """The number of the baseline's findings that no longer occur."""
    tools: Sequence[str] = field(default=())
    """The names of the tools that were run."""

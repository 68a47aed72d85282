"""What a check says: rules, findings and notices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256


class Topic(StrEnum):
    """What a rule is about: the six known anti-patterns first."""

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
    """Something that a project must not do, why, and what to do instead."""

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
    """Below the project's folder, with slashes."""
    line: int
    message: str
    text: str = ""
    """The line itself: what a baseline knows a finding by, wherever it moves."""

    @property
    def fingerprint(self) -> str:
        known = f"{self.rule.id}\0{self.path}\0{self.text.strip()}"
        return sha256(known.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Notice:
    """What couldn't be checked, or was left out, and why."""

    message: str


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    findings: Sequence[Finding]
    notices: Sequence[Notice]
    files: int
    """How many Python files were read."""
    known: int = 0
    """How many findings a baseline hid."""
    gone: int = 0
    """How many of a baseline's findings aren't there any more."""
    tools: Sequence[str] = field(default=())
    """Which tools were run."""

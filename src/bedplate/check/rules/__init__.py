"""Bedplate's own rules: each is a small function over a file's syntax tree.

`@rule(…)` declares a rule: its name, its topic, why it matters and how to fix it. The
function yields the places that break it, each with a message.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import NamedTuple

from bedplate.check.findings import Finding, Rule, Topic
from bedplate.check.index import ProjectIndex
from bedplate.check.project import Kind, Source


class Place(NamedTuple):
    node: ast.AST
    message: str


Find = Callable[[Source, ProjectIndex], Iterator[Place]]


class SyntaxRule(NamedTuple):
    rule: Rule
    find: Find
    kinds: tuple[Kind, ...]


RULES: dict[str, SyntaxRule] = {}
_FILES = (
    "blocking",
    "database",
    "error_handling",
    "layers",
    "loading",
    "outdated",
    "routes",
    "schemas",
    "secrets",
    "transactions",
)


def rule(
    name: str,
    topic: Topic,
    *,
    why: str,
    fix: str,
    kinds: tuple[Kind, ...] = ("code",),
) -> Callable[[Find], Find]:
    def declare(find: Find) -> Find:
        RULES[name] = SyntaxRule(Rule(name, topic, why, fix), find, kinds)
        return find

    return declare


def all_rules() -> dict[str, SyntaxRule]:
    for name in _FILES:
        import_module(f"{__name__}.{name}")
    return RULES


def find_by_syntax(sources: Sequence[Source], index: ProjectIndex) -> Iterator[Finding]:
    """Yield every place that breaks one of these rules."""
    for source in sources:
        for entry in all_rules().values():
            if (
                source.kind in entry.kinds
                and entry.rule.id not in index.covered_elsewhere
            ):
                for place in entry.find(source, index):
                    line = getattr(place.node, "lineno", 1)
                    yield Finding(entry.rule, source.path, line, place.message)

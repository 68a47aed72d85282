"""The rules that no tool knows: a small function each, over a file's syntax tree.

A rule is told with `@rule(…)`: its name, what it is about, why it matters and how to
mend it. Its function yields the places, each with what stands there.
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
    """Every place where a rule over syntax trees is broken."""
    for source in sources:
        for known in all_rules().values():
            if (
                source.kind in known.kinds
                and known.rule.id not in index.covered_elsewhere
            ):
                for place in known.find(source, index):
                    line = getattr(place.node, "lineno", 1)
                    yield Finding(known.rule, source.path, line, place.message)

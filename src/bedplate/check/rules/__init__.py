"""The rules that no tool knows: a small function each, over a file's syntax tree.

A rule is told with `@rule(…)`: its name, what it is about, why it matters and how to
mend it. Its function yields the places, each with what stands there.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import NamedTuple

from bedplate.check.facts import Facts
from bedplate.check.findings import Finding, Rule, Topic
from bedplate.check.project import Kind, Source


class Place(NamedTuple):
    node: ast.AST
    message: str


Find = Callable[[Source, Facts], Iterator[Place]]


class SyntaxRule(NamedTuple):
    rule: Rule
    find: Find
    kinds: tuple[Kind, ...]


RULES: dict[str, SyntaxRule] = {}
_FILES = (
    "blocking",
    "database",
    "errors",
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
    mend: str,
    kinds: tuple[Kind, ...] = ("code",),
) -> Callable[[Find], Find]:
    def declare(find: Find) -> Find:
        RULES[name] = SyntaxRule(Rule(name, topic, why, mend), find, kinds)
        return find

    return declare


def all_rules() -> dict[str, SyntaxRule]:
    for name in _FILES:
        import_module(f"{__name__}.{name}")
    return RULES


def find_by_syntax(sources: Sequence[Source], facts: Facts) -> Iterator[Finding]:
    """Every place where a rule over syntax trees is broken."""
    for source in sources:
        for known in all_rules().values():
            if source.kind in known.kinds and known.rule.id not in facts.told_elsewhere:
                for place in known.find(source, facts):
                    line = getattr(place.node, "lineno", 1)
                    yield Finding(known.rule, source.path, line, place.message)

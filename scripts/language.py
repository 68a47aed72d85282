"""Measure how the code is written: names, docstrings, comments and words.

`python scripts/language.py` prints the figures of the style guide. The guard
`tests/guards/test_language.py` fails if one of them gets worse than its limit.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
CODE = ("src", "tests", "benchmarks", "scripts", "examples")
SKIPPED = ("tests/check/corpus/",)  # code that is wrong on purpose

# A variable is named after what it holds, not after what was done to it.
VAGUE_NAMES = frozenset(
    (
        "told made asked kept found shown known sent given said meant ours own what "
        "many few"
    ).split()
)
# Words that readers have to translate, each with what to write instead.
BANNED_WORDS = {
    r"\btold\b": "returned, reported, shown",
    r"\basks\b": "requires, requests, checks",
    r"can't be had": "is unavailable",
    r"\bat the most\b": "at most",
    r"\bof ours\b": "our",
    r"(?<!there )\bis no (?!longer\b)": "is not a",
    r"\bwhom\b": "who, or the name of the thing",
    r"\bone's\b": "your, the caller's",
}
_WH_WORDS = frozenset("what whether whose who whom which where when how why".split())
_OTHER_OPENINGS = frozenset(
    (
        "a an the this that these those its our your their every each all any some no "
        "none one two either neither both another other many few such as for from in "
        "of on by at to with without after before until if it he she they we you i "
        "there here nothing everything everyone nobody somebody anybody once not only "
        "more most"
    ).split()
)


_FOR_TOOLS = re.compile(r"# (noqa|type: ignore|pragma)[^,]*$")


class Docstring(NamedTuple):
    """The docstring of a function or method, with its place."""

    place: str
    text: str

    @property
    def first_word(self) -> str:
        """Return the first word in lower case; empty if it starts with code."""
        match = re.match(r"[A-Za-z][A-Za-z'-]*", self.text)
        return match[0].lower() if match else ""

    @property
    def opens_with_verb(self) -> bool:
        """Return whether the first word can be a verb: "Return", not "The"."""
        no_verbs = _WH_WORDS | _OTHER_OPENINGS
        return bool(self.first_word) and self.first_word not in no_verbs


class Figures(NamedTuple):
    """The measures of one folder."""

    bindings: int
    vague: int
    docstrings: int
    without_verb: int
    wh_words: int
    lines: int
    comments: int

    @property
    def vague_per_1000(self) -> float:
        return 1000 * self.vague / max(self.bindings, 1)

    @property
    def without_verb_percent(self) -> float:
        return 100 * self.without_verb / max(self.docstrings, 1)

    @property
    def wh_words_percent(self) -> float:
        return 100 * self.wh_words / max(self.docstrings, 1)

    @property
    def comments_per_1000(self) -> float:
        return 1000 * self.comments / max(self.lines, 1)


def python_files(folders: Iterable[str] = CODE) -> Iterator[Path]:
    """Yield every Python file of these folders that people read."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(SKIPPED):
                yield path


def bindings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each name that code binds, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name, node.lineno


def vague_bindings(folders: Iterable[str] = CODE) -> Iterator[str]:
    """Yield `file:line name` for each binding with a vague name."""
    for path in python_files(folders):
        for name, line in bindings(ast.parse(path.read_text())):
            if name.strip("_").lower() in VAGUE_NAMES:
                yield f"{path.relative_to(ROOT)}:{line} {name}"


def docstrings(folders: Iterable[str] = ("src",)) -> Iterator[Docstring]:
    """Yield the docstring of each function, but not of properties and fixtures.

    Those are named like values, so a noun may describe them.
    """
    for path in python_files(folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
            text = ast.get_docstring(node)
            if text and not re.search(r"property|fixture", decorators):
                yield Docstring(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def measure(folder: str) -> Figures:
    """Return the figures of one folder."""
    names = [n for path in python_files([folder]) for n in _names(path)]
    texts = list(docstrings([folder]))
    sources = [path.read_text() for path in python_files([folder])]
    return Figures(
        bindings=len(names),
        vague=sum(name.strip("_").lower() in VAGUE_NAMES for name in names),
        docstrings=len(texts),
        without_verb=sum(not text.opens_with_verb for text in texts),
        wh_words=sum(text.first_word in _WH_WORDS for text in texts),
        lines=sum(source.count("\n") for source in sources),
        comments=sum(map(_count_comments, sources)),
    )


def _names(path: Path) -> list[str]:
    return [name for name, _ in bindings(ast.parse(path.read_text()))]


def _count_comments(source: str) -> int:
    """Count comments, but not those that only tools read, such as `# noqa: S101`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(
        token.type == tokenize.COMMENT and not _FOR_TOOLS.match(token.string)
        for token in tokens
    )


def banned_words(paths: Iterable[Path] | None = None) -> Iterator[str]:
    """Yield `file:line word (instead: …)` for each banned word in code and texts."""
    for path in texts_of_the_project() if paths is None else paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for pattern, instead in BANNED_WORDS.items():
                if match := re.search(pattern, line, re.IGNORECASE):
                    place = f"{path.relative_to(ROOT)}:{number}"
                    yield f"{place} {match[0]!r} (instead: {instead})"


def texts_of_the_project() -> Iterator[Path]:
    """Yield every file whose words the guard reads."""
    with_the_words = {Path(__file__).name, "test_language.py"}
    yield from (path for path in python_files() if path.name not in with_the_words)
    for pattern in ("docs/**/*.md", "src/**/*.jinja", "src/**/*.html", "src/**/*.txt"):
        yield from sorted(ROOT.glob(pattern))
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))


def main() -> None:
    for folder in CODE:
        figures = measure(folder)
        print(
            f"{folder}: {figures.vague_per_1000:.1f} vague names per 1,000 bindings; "
            f"{figures.without_verb_percent:.0f} % of function docstrings open without "
            f"a verb, {figures.wh_words_percent:.0f} % with What or Whether; "
            f"{figures.comments_per_1000:.0f} comments per 1,000 lines"
        )
    print(f"{len(list(banned_words()))} banned words")


if __name__ == "__main__":
    main()

"""The code is written in plain words: the figures of `scripts/language.py` hold."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
spec = importlib.util.spec_from_file_location("language", ROOT / "scripts/language.py")
assert spec is not None
assert spec.loader is not None
language: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(language)

VAGUE_PER_1000 = 2
WITHOUT_VERB_PERCENT = 20
WH_WORDS_PERCENT = 3


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "scripts"])
def test_names_say_what_they_hold(folder: str) -> None:
    figures = language.measure(folder)

    names = list(language.vague_bindings([folder]))
    assert figures.vague_per_1000 < VAGUE_PER_1000, names


def test_docstrings_of_functions_start_with_a_verb() -> None:
    figures = language.measure("src")

    openings = [
        text.place for text in language.docstrings() if not text.opens_with_verb
    ]
    assert figures.without_verb_percent < WITHOUT_VERB_PERCENT, openings
    assert figures.wh_words_percent < WH_WORDS_PERCENT, openings


def test_no_text_has_a_banned_word() -> None:
    assert list(language.banned_words()) == []


def test_planted_violations_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "ROOT", tmp_path)
    code = tmp_path / "src" / "module.py"
    code.parent.mkdir()
    code.write_text(
        "def load(told):\n"
        '    """What is stored, as told."""\n'
        "    found = told\n"
        "    return found  # noqa: RET504\n"
    )

    figures = language.measure("src")
    assert [name.split()[-1] for name in language.vague_bindings(["src"])] == [
        "told",
        "found",
    ]
    assert (figures.bindings, figures.vague, figures.comments) == (3, 2, 0)
    assert (figures.docstrings, figures.without_verb, figures.wh_words) == (1, 1, 1)
    assert len(list(language.banned_words([code]))) == 3


def test_a_verb_and_a_property_are_no_violations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "ROOT", tmp_path)
    code = tmp_path / "src" / "module.py"
    code.parent.mkdir()
    code.write_text(
        "def load(message):\n"
        '    """Return the message."""\n'
        "\n"
        "class Row:\n"
        "    @property\n"
        "    def size(self):\n"
        '        """The size in bytes."""\n'
    )

    figures = language.measure("src")
    assert (figures.vague, figures.docstrings, figures.without_verb) == (0, 1, 0)

"""The job engine loads pickles in one place, which `bedplate.jobs.dbos` closes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import dbos
import pytest

PACKAGE = Path(dbos.__file__).parent
LOADERS = {"cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "shelve"}


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def loading_calls(source: str) -> list[str]:
    """Return the functions that load a pickle."""
    return [
        function.name
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in LOADERS
        and node.attr.startswith(("load", "Unpickler"))
    ]


def test_one_file_of_the_engine_imports_a_pickle_loader() -> None:
    files = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "_templates" not in path.parts
        and LOADERS & {*imported(path.read_text(encoding="utf-8"))}
    }

    assert files == {"_serialization.py"}


def test_one_function_of_that_file_loads_pickles() -> None:
    source = (PACKAGE / "_serialization.py").read_text(encoding="utf-8")

    assert loading_calls(source) == ["deserialize"]
    assert [*imported(source)].count("pickle") == 1


@pytest.mark.parametrize(
    "planted", ["import dill", "from pickle import loads", "import pickle as p"]
)
def test_a_planted_import_is_seen(planted: str) -> None:
    assert LOADERS & {*imported(planted)}


def test_a_planted_call_is_seen() -> None:
    assert loading_calls("def read(text):\n    return pickle.loads(text)") == ["read"]

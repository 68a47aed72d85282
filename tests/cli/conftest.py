import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from bedplate.cli import main
from bedplate.config import PREFIX


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Command(Protocol):
    def __call__(self, *arguments: str, stdin: str = "", **settings: Any) -> Done: ...


@pytest.fixture
def bedplate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run the command line in an empty folder and in this process, which is faster."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str = "", **settings: Any) -> Done:
        for name, value in settings.items():
            monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(value))
        monkeypatch.setattr(sys, "argv", ["bedplate", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, *capsys.readouterr())

    handlers = logging.root.handlers[:]
    yield run
    # The command's handlers write to a stream that pytest has closed.
    logging.root.handlers[:] = handlers

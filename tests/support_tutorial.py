"""Follows a tutorial like a reader: from top to bottom, in one empty folder.

Each fenced block is used once, in order, as a file or as commands. Two things differ
from a reader's machine: servers get free ports, and `uv` and `pip` use the installed
packages instead of downloading them.
"""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import httpx

from bedplate.config import PREFIX

ROOT = Path(__file__).parents[1]
PATIENCE = 240
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# `python3 -m uv run`, `uv run` and `pip install`, without a network.
UV = """#!/bin/sh
[ "$1" = run ] || exit 0
shift
[ "$1" = --no-dev ] && shift
[ -d src ] && export PYTHONPATH="$PWD/src"
exec "$@"
"""
PIP = "#!/bin/sh\n"
PYTHON = f"""#!/bin/sh
[ "$1 $2" = "-m uv" ] && shift 2 && exec uv "$@"
[ "$1 $2" = "-m pip" ] && exit 0
exec {sys.executable} "$@"
"""
# Blocks share variables and the current folder, as in one shell.
SCRIPT = """set -euo pipefail
set -a
if [ -f "$STATE" ]; then . "$STATE"; fi
remember() {{ {{ export -p; echo "cd '$PWD'"; }} > "$STATE"; }}
trap remember EXIT
{code}
"""


class Block(NamedTuple):
    """A fenced block with the text before it."""

    language: str
    code: str
    before: str


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield a page's fenced blocks in order."""
    text, end = page.read_text(), 0
    for match in FENCE.finditer(text):
        yield Block(match[1], match[2], text[end : match.start()])
        end = match.end()


class Reader:
    """Follows a page in a folder. `blocks` are those that remain."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.blocks = list(blocks_of(page))
        self.folder = folder
        self._ports = {8000: _free_port(), 8001: _free_port()}
        self._tools = folder.parent / f"{folder.name}-tools"
        self._make_tools()

    def _make_tools(self) -> None:
        self._tools.mkdir()
        tools = {"uv": UV, "pip": PIP, "python3": PYTHON, "python": PYTHON}
        for name, script in tools.items():
            (self._tools / name).write_text(script)
            (self._tools / name).chmod(0o755)

    def _next(self, language: str) -> Block:
        block = self.blocks.pop(0)
        assert block.language == language, block.code
        return block

    # Files

    def write(self, name: str) -> None:
        """Write the next block to the file that the text before it names."""
        block = self._next("python")
        assert f"`{name}`" in block.before, block.before
        (self.folder / name).write_text(block.code)

    def append(self, name: str) -> None:
        """Add the next block to the end of the file that the text before it names."""
        block = self._next("python")
        assert re.search(rf"the\s+end\s+of\s+`{name}`", block.before), block.before
        with (self.folder / name).open("a") as file:
            file.write(f"\n\n{block.code}")

    def replace(self, name: str, since: str) -> None:
        """Replace everything from `since` on with the next block."""
        block = self._next("python")
        assert f"In `{name}`" in block.before, block.before
        assert f"all from `{since}` on" in block.before, block.before
        before, separator, _ = (self.folder / name).read_text().partition(since)
        assert separator, name
        (self.folder / name).write_text(before + block.code)

    def insert(self, name: str, below: str) -> None:
        """Insert the next block's line below an attribute of a class."""
        block = self._next("python")
        assert f"below `{below}`" in block.before, block.before
        assert f"`{name}`" in block.before, block.before
        path = self.folder / name
        line = re.compile(rf"^( +){below}: .*\n", re.MULTILINE)
        changed, count = line.subn(rf"\g<0>\g<1>{block.code}", path.read_text())
        assert count == 1, path.read_text()
        path.write_text(changed)

    def look_at(self, language: str) -> str:
        """Skip the next block, which is for reading only, and return it."""
        return self._next(language).code

    # Commands

    def run(
        self,
        *answers: tuple[str, str],
        put: Mapping[str, str] | None = None,
        exit_code: int = 0,
    ) -> str:
        """Run the next block in a terminal and return its output.

        Each answer is typed when its question appears. `put` are texts that the reader
        replaces, such as `{"…": password}`.
        """
        with self._start(self._next("sh").code, put or {}) as terminal:
            for question, answer in answers:
                terminal.wait_for(question)
                terminal.type(f"{answer}\n")
            output = terminal.read_to_the_end()
            assert terminal.process.wait(PATIENCE) == exit_code, output
        return output

    @contextmanager
    def serve(self) -> Iterator[httpx.Client]:
        """Run the next block's server, and stop it with Ctrl-C at the end."""
        code = self._next("sh").code
        port = self._ports[8001 if "8001" in code else 8000]
        with self._start(code, {}) as terminal:
            _wait_until_listening(terminal, port)
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=PATIENCE) as client:
                yield client
            terminal.type("\x03")
            output = terminal.read_to_the_end()
            terminal.process.wait(PATIENCE)
            assert "Traceback" not in output, output

    @contextmanager
    def _start(self, code: str, put: Mapping[str, str]) -> Iterator["Terminal"]:
        for placeholder, value in put.items():
            assert placeholder in code, code
            code = code.replace(placeholder, value)
        script = self._tools / f"script-{len(self.blocks)}"
        script.write_text(SCRIPT.format(code=self._on_free_ports(code)))
        with Terminal(script, self.folder, self._environment()) as terminal:
            yield terminal

    def _on_free_ports(self, code: str) -> str:
        code = re.sub(
            r"(bedplate serve|uvicorn \S+)$",
            r"\1 --port 8000",
            code,
            flags=re.MULTILINE,
        )
        code = re.sub(r"runserver$", "runserver 8000", code, flags=re.MULTILINE)
        for port, free_port in self._ports.items():
            code = re.sub(rf"\b{port}\b", str(free_port), code)
        return code

    def _environment(self) -> dict[str, str]:
        installed = Path(sys.executable).parent
        path = f"{self._tools}:{installed}:{os.environ['PATH']}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        tools = {"PATH": path, "STATE": str(self._tools / "state")}
        return {**inherited, **tools, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


class Terminal:
    """A program in a pseudo-terminal, with methods to type and to read its output."""

    def __init__(
        self, script: Path, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._controller, program_side = pty.openpty()
        self._output = ""
        self._position = 0  # in the output: `wait_for` searches from here
        self._has_more = threading.Condition()
        # In a session that the terminal controls: programs prompt for passwords at the
        # terminal, and Ctrl-C reaches every process that the script started.
        setsid, bash = shutil.which("setsid"), shutil.which("bash")
        assert setsid
        assert bash
        self.process = subprocess.Popen(
            [setsid, "--ctty", bash, str(script)],
            cwd=folder,
            env=environment,
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
        )
        os.close(program_side)
        # A thread reads all the time: otherwise the program blocks after 4 KB.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        os.close(self._controller)

    def _read(self) -> None:
        piece = b"-"
        while piece:
            try:
                piece = os.read(self._controller, 1 << 16)
            except OSError:  # on Linux: the other side is closed
                piece = b""
            with self._has_more:
                self._output += piece.decode(errors="replace").replace("\r\n", "\n")
                self._has_more.notify_all()

    def type(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until a text appears after the last one that was waited for."""
        with self._has_more:
            self._has_more.wait_for(
                lambda: (
                    text in self._output[self._position :]
                    or not self._reader.is_alive()
                ),
                PATIENCE,
            )
            assert text in self._output[self._position :], self._output
            self._position = self._output.index(text, self._position) + len(text)

    def read_to_the_end(self) -> str:
        """Wait until the program has ended, and return all of its output."""
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), self._output
        return self._output


def _wait_until_listening(terminal: Terminal, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert terminal.process.poll() is None, terminal.read_to_the_end()
        assert time.monotonic() < deadline
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

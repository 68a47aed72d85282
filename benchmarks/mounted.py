"""Measures the cost of Django next to the API: start-up, memory, first request.

uv run python -m benchmarks.mounted --rounds 5

Linux only: memory is read from /proc.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer

from bedplate.testing.databases import TEST_KEY
from bedplate.testing.servers import Server, run_command, serving

# Runs `bedplate` as if Django weren't installed.
WITHOUT = """
import sys, importlib.util

class Hiding:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in {"django", "rest_framework"}
        return None if hidden else self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)

sys.meta_path[:] = map(Hiding, sys.meta_path)
"""
RUN = "from bedplate.cli import main; main()"
PROGRAMS: dict[str, Sequence[str]] = {
    "without Django": (sys.executable, "-c", WITHOUT + RUN),
    "with it, not yet used": (sys.executable, "-c", RUN),
}
Samples = dict[str, dict[str, list[float]]]


def main(rounds: Annotated[int, typer.Option(min=1)] = 5) -> None:
    """Print a table of medians."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"secret_key": TEST_KEY, "embedded_worker": False}
        run_command(Path(folder), "migrate", **settings)
        for _ in range(rounds):
            for name, program in PROGRAMS.items():
                measure(Path(folder), name, program, settings, samples)
    print("| | start, s | memory, MB | first request, ms |\n| --- | --- | --- | --- |")
    for name, values in samples.items():
        medians = (f"{median(values[k]):.2f}" for k in ("start", "memory", "first"))
        print(f"| {name} | {' | '.join(medians)} |")


def measure(
    folder: Path,
    name: str,
    program: Sequence[str],
    settings: dict[str, Any],
    samples: Samples,
) -> None:
    began = time.perf_counter()
    with serving(folder, program=program, **settings) as server:
        samples[name]["start"].append(time.perf_counter() - began)
        samples[name]["first"].append(milliseconds(f"{server.api}/posts"))
        samples[name]["memory"].append(megabytes(server))
        if WITHOUT not in program[-1]:
            loaded = samples["with it, loaded"]
            loaded["start"] = samples[name]["start"]
            loaded["first"].append(milliseconds(f"{server.url}/admin/login/"))
            loaded["memory"].append(megabytes(server))


def milliseconds(url: str) -> float:
    began = time.perf_counter()
    httpx.get(url, timeout=30).raise_for_status()
    return (time.perf_counter() - began) * 1000


def megabytes(server: Server) -> float:
    """Return the private memory of the server's process, in MB."""
    smaps = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    private = [line.split() for line in smaps.splitlines() if "Private" in line]
    return sum(int(parts[1]) for parts in private) / 1024


if __name__ == "__main__":
    typer.run(main)

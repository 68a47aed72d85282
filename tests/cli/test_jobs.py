"""`bedplate jobs` at a terminal of ordinary width."""

import os
import pty
import re
import subprocess
from pathlib import Path

import httpx

from bedplate.testing.servers import PROGRAM, run_command, serving

UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def at_terminal(folder: Path, *arguments: str) -> str:
    """Return what the program shows at a terminal of 80 columns."""
    ours, its = pty.openpty()
    process = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "80"},
        stdin=its,
        stdout=its,
        stderr=its,
        timeout=30,
        check=False,
    )
    os.close(its)
    assert process.returncode == 0
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    return shown


def test_a_listed_id_is_whole_so_that_show_takes_it(tmp_path: Path) -> None:
    with serving(tmp_path, embedded_worker=False) as server:
        body = {"email": "a@example.com", "name": "A", "password": "Passw0rd-of-tests"}
        httpx.post(f"{server.api}/users", json=body).raise_for_status()

    ids = UUID.findall(at_terminal(tmp_path, "jobs", "list"))

    shown = [run_command(tmp_path, "jobs", "show", id_) for id_ in ids]
    assert len(shown) == 2  # the welcome, and the module's that verifies the address
    assert {done.returncode for done in shown} == {0}

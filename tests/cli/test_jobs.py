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
    """Run a command at a terminal of 80 columns and return its output."""
    controller, terminal = pty.openpty()
    process = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "80"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        timeout=30,
        check=False,
    )
    os.close(terminal)
    assert process.returncode == 0
    output = os.read(controller, 1 << 16).decode()
    os.close(controller)
    return output


def test_the_list_shows_whole_ids_that_show_accepts(tmp_path: Path) -> None:
    with serving(tmp_path, embedded_worker=False) as server:
        body = {"email": "a@example.com", "name": "A", "password": "Passw0rd-of-tests"}
        httpx.post(f"{server.api}/users", json=body).raise_for_status()

    ids = UUID.findall(at_terminal(tmp_path, "jobs", "list"))

    results = [run_command(tmp_path, "jobs", "show", id_) for id_ in ids]
    assert len(results) == 2  # the welcome mail, and the mail to verify the address
    assert {done.returncode for done in results} == {0}

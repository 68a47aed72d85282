"""`bedplate new` at a terminal: questions, a plan, and files after a yes."""

import os
import pty
import subprocess
from pathlib import Path

from bedplate.testing.servers import PROGRAM, run_command


def talk(folder: Path, answers: str) -> tuple[int, str]:
    """Run `bedplate new`, type the answers, and return its exit code and output."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "new", "planted-shop"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "100"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(controller, answers.encode())
    output, _ = process.communicate(timeout=30)
    os.close(controller)
    os.close(terminal)
    return process.returncode, output


def test_the_answers_decide_what_is_written(tmp_path: Path) -> None:
    code, output = talk(tmp_path, "The Shop\nn\nnone\ny\n")

    assert code == 0, output
    order = ["Title for people", "Add the Django admin?", "CI file", "main.py"]
    order += ["Write these files?", "The Shop is ready. Next:", "cd planted-shop"]
    places = [output.index(text) for text in order]
    assert places == sorted(places)
    written = (tmp_path / "planted-shop" / "pyproject.toml").read_text()
    assert 'dependencies = ["bedplate>=' in written
    assert 'description = "The Shop"' in written


def test_a_no_writes_nothing(tmp_path: Path) -> None:
    code, output = talk(tmp_path, "\n\n\nn\n")

    assert code == 1
    assert "Write these files?" in output
    assert not any(tmp_path.iterdir())


def test_without_a_terminal_it_writes_nothing_unless_yes_is_given(
    tmp_path: Path,
) -> None:
    refused = run_command(tmp_path, "new", "planted-shop")

    assert refused.returncode == 1
    assert "use --yes" in refused.stderr
    assert not any(tmp_path.iterdir())

    done = run_command(tmp_path, "new", "planted-shop", "--yes")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "planted-shop" / "pyproject.toml").exists()

"""At a terminal `bedplate new` asks little, shows the plan, and writes on a yes."""

import os
import pty
import subprocess
from pathlib import Path

from bedplate.testing.servers import PROGRAM, run_command


def talk(folder: Path, answers: str) -> tuple[int, str]:
    """What the program does and says at a terminal where somebody types this."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "new", "planted-shop"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "100"},
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(ours, answers.encode())
    said, _ = process.communicate(timeout=30)
    os.close(ours)
    os.close(its)
    return process.returncode, said


def test_what_is_answered_is_made(tmp_path: Path) -> None:
    code, said = talk(tmp_path, "The Shop\nn\nnone\ny\n")

    assert code == 0, said
    order = ["What do people call it?", "With the Django admin?", "CI", "main.py"]
    order += ["Write it?", "The Shop is made. Next:", "cd planted-shop"]
    places = [said.index(text) for text in order]
    assert places == sorted(places)
    written = (tmp_path / "planted-shop" / "pyproject.toml").read_text()
    assert 'dependencies = ["bedplate>=' in written
    assert 'description = "The Shop"' in written


def test_a_no_writes_nothing(tmp_path: Path) -> None:
    code, said = talk(tmp_path, "\n\n\nn\n")

    assert code == 1
    assert "Write it?" in said
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

"""Files and directories that only their owner may use: how to make and find them."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ExposedPath(NamedTuple):
    """A path that others than its owner may read, list or change."""

    path: Path
    mode: int
    wanted: int


def make_private_directory(path: Path) -> None:
    """Create a directory with mode 0700, whatever the umask, unless there is one.

    Raises:
        OSError
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_draft(path: Path, content: bytes) -> Path:
    """Write a new file beside `path`, with mode 0600 from its first moment.

    The caller moves or links it to `path`, so that the content is there whole or not
    at all.

    Raises:
        OSError
    """
    # Not the process's id: in a container it is 1 again after a crash in here.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return draft


def find_exposed(paths: Iterable[Path]) -> list[ExposedPath]:
    """Return those of these paths that exist and whose mode lets others in."""
    found = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # it is not there, or not ours to look at
        if mode & _OTHERS:
            wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
            found.append(ExposedPath(path, stat.S_IMODE(mode), wanted))
    return found

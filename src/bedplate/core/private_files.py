"""Creates files and directories for their owner only, and finds exposed ones."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ExposedPath(NamedTuple):
    """A path that users other than its owner may read, list or change."""

    path: Path
    mode: int
    private_mode: int


def make_private_directory(path: Path) -> None:
    """Create a directory with mode 0700, whatever the umask, unless it exists.

    Raises:
        OSError
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_draft(path: Path, content: bytes) -> Path:
    """Write a new file next to `path`, created with mode 0600.

    The caller moves or links it to `path`, so that `path` never has partial content.

    Raises:
        OSError
    """
    # A random suffix, not the process id: in a container that is 1 after each restart,
    # so a draft left by a crash would have the same name.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return draft


def find_exposed(paths: Iterable[Path]) -> list[ExposedPath]:
    """Return those of the paths that exist and that others may access."""
    exposed = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # it doesn't exist, or this user may not read its mode
        if mode & _OTHERS:
            private_mode = 0o700 if stat.S_ISDIR(mode) else 0o600
            exposed.append(ExposedPath(path, stat.S_IMODE(mode), private_mode))
    return exposed

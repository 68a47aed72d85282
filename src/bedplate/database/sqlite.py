"""Connections to a SQLite file, for our own code, Django and the job engine."""

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any, Final

_CREATING = threading.Lock()
# SQLite supports `unixepoch('subsec')` from this version on.
_HAS_SUBSEC: Final = (3, 42)


class SqliteConnection(sqlite3.Connection):
    """Creates the file readable by its owner only. Supports `unixepoch('subsec')`.

    Pass it as `factory` to `sqlite3.connect`, or to a library that calls it.
    """

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:
        create_private_file(database)
        super().__init__(database, *args, **kwargs)
        if sqlite3.sqlite_version_info < _HAS_SUBSEC:
            # From Python 3.12 on, the job engine's column defaults use it.
            self.create_function("unixepoch", 1, unixepoch)


def create_private_file(path: str) -> None:
    """Create an empty file with mode 0600, whatever the umask, unless it exists.

    SQLite creates its `-wal`, `-shm` and `-journal` files with the same mode.
    """
    # Closing a file drops all locks that this process holds on it, including SQLite's
    # (https://sqlite.org/howtocorrupt.html, 2.2). So this opens the file only if it is
    # new, and the lock prevents other threads from opening it before it is closed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    # `realpath`: an exclusive open does not follow a link to a file that doesn't exist.
    # Errors are ignored: SQLite opens the file next and reports the problem.
    with _CREATING, contextlib.suppress(OSError):
        os.close(os.open(os.path.realpath(path), flags, 0o600))


def unixepoch(moment: str | float | None) -> float | int | None:
    """Return seconds since 1970, with milliseconds for `subsec`, like SQLite 3.42.

    See https://sqlite.org/lang_datefunc.html.
    """
    if moment in ("subsec", "subsecond"):
        return time.time_ns() // 1_000_000 / 1000
    with contextlib.closing(sqlite3.connect(":memory:")) as other:
        seconds: int | None = other.execute(
            "SELECT CAST(strftime('%s', ?) AS INTEGER)", (moment,)
        ).fetchone()[0]
    return seconds

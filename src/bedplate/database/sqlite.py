"""A connection to a SQLite file, whoever opens it: us, Django or the job engine."""

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any, Final

_CREATING = threading.Lock()
# From this version on, SQLite itself knows `unixepoch('subsec')`.
_KNOWS_SUBSEC: Final = (3, 42)


class SqliteConnection(sqlite3.Connection):
    """Creates the file readable by its owner only, and knows `unixepoch('subsec')`.

    Pass it as `factory` to `sqlite3.connect`, or to what calls it.
    """

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:
        create_private_file(database)
        super().__init__(database, *args, **kwargs)
        if sqlite3.sqlite_version_info < _KNOWS_SUBSEC:
            # From Python 3.12 on, the job engine's defaults are made with it.
            self.create_function("unixepoch", 1, unixepoch)


def create_private_file(path: str) -> None:
    """Create an empty file with mode 0600 unless there is one, whatever the umask.

    SQLite gives its `-wal`, `-shm` and `-journal` files the mode of this one.
    """
    # Closing a file drops the locks that this process holds on it, those of SQLite
    # too (https://sqlite.org/howtocorrupt.html, 2.2). So a file is opened here only if
    # it is new, and no other thread opens the new one before it is closed here.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    # `realpath`: an exclusive open does not follow a link to a file yet to be made.
    # SQLite opens the file next and reports what is wrong, if anything is.
    with _CREATING, contextlib.suppress(OSError):
        os.close(os.open(os.path.realpath(path), flags, 0o600))


def unixepoch(moment: str | float | None) -> float | int | None:
    """Return seconds since 1970, with milliseconds for `subsec`, as SQLite 3.42 does.

    See https://sqlite.org/lang_datefunc.html.
    """
    if moment in ("subsec", "subsecond"):
        return time.time_ns() // 1_000_000 / 1000
    with contextlib.closing(sqlite3.connect(":memory:")) as other:
        seconds: int | None = other.execute(
            "SELECT CAST(strftime('%s', ?) AS INTEGER)", (moment,)
        ).fetchone()[0]
    return seconds

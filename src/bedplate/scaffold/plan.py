"""A plan of files: shown as a tree, checked, then written all or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class ScaffoldError(Exception):
    """The files can't be written; the text names the cause and what was expected."""


@dataclass
class Plan:
    """The text of new and changed files, by their path relative to a folder."""

    folder: Path
    new: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, str]:
        return {**self.new, **self.changed}

    def check(self) -> None:
        """Check that no existing file would be overwritten.

        Raises:
            ScaffoldError: names the first file that exists already.
        """
        for path in self.new:
            if (self.folder / path).exists():
                raise ScaffoldError(f"{self.folder / path} exists already")

    def write(self) -> None:
        """Write all files, or none.

        Raises:
            ScaffoldError: a file exists already or can't be written. All changes are
                undone.
        """
        self.check()
        before = {path: (self.folder / path).read_text() for path in self.changed}
        written: list[str] = []
        try:
            for path, text in self.files.items():
                written.append(path)  # first: a file may fail half-written
                _write(self.folder / path, text)
        except OSError as error:
            self._undo(written, before)
            raise ScaffoldError(f"{error.filename}: {error.strerror}") from None

    def _undo(self, written: list[str], before: Mapping[str, str]) -> None:
        for path in written:
            if path in before:
                (self.folder / path).write_text(before[path])
            elif (self.folder / path).is_file():
                (self.folder / path).unlink()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

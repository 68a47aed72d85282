"""Files that are to be written: shown as a tree, checked, then written all at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class ScaffoldError(Exception):
    """What was asked for can't be written; the text says what was expected where."""


@dataclass
class Plan:
    """New files and changed ones, by their path below a folder."""

    folder: Path
    new: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, str]:
        return {**self.new, **self.changed}

    def check(self) -> None:
        """Nothing that is there is overwritten.

        Raises:
            ScaffoldError: names the first file that is in the way.
        """
        for path in self.new:
            if (self.folder / path).exists():
                raise ScaffoldError(f"{self.folder / path} is there already")

    def write(self) -> None:
        """Write all of it.

        Raises:
            ScaffoldError: a file is in the way, or can't be written; no file stays.
        """
        self.check()
        before = {path: (self.folder / path).read_text() for path in self.changed}
        written: list[str] = []
        try:
            for path, text in self.files.items():
                written.append(path)
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

"""What of Bedplate goes away, and what to use instead.

A deprecated name or setting works for one minor version, with a warning, and is gone in
the next. Its line stays here, so that `bedplate upgrade --check` finds it in a project
that comes from further back.
"""

from dataclasses import dataclass

import typing_extensions


@dataclass(frozen=True)
class Deprecation:
    """A dotted name, such as `bedplate.database.Rows`, or a `BEDPLATE_…` setting."""

    old: str
    new: str
    since: str
    """The version that began to warn: `0.2`."""

    @property
    def is_setting(self) -> bool:
        return self.old.isupper()

    @property
    def gone_in(self) -> str:
        major, minor = self.since.split(".")[:2]
        return f"{major}.{int(minor) + 1}"

    @property
    def message(self) -> str:
        return f"{self.old} is deprecated since {self.since}, use {self.new}"


DEPRECATIONS: tuple[Deprecation, ...] = ()


def deprecated(entry: Deprecation) -> "typing_extensions.deprecated":
    """Decorate a function or a class that goes away: its use warns, and works."""
    return typing_extensions.deprecated(entry.message, stacklevel=1)

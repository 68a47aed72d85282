"""Deprecated names and settings, and their replacements.

A deprecated name or setting works for one minor version, with a warning, and is removed
in the next. Its entry stays here, so that `bedplate upgrade --check` finds it in a
project that upgrades from an older version.
"""

from dataclasses import dataclass

import typing_extensions


@dataclass(frozen=True)
class Deprecation:
    """A dotted name, such as `bedplate.database.Rows`, or a `BEDPLATE_…` setting."""

    old: str
    new: str
    since: str
    """The first version that warns, such as `0.2`."""

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
    """Decorate a deprecated function or class: using it warns and still works."""
    return typing_extensions.deprecated(entry.message, stacklevel=1)

"""Check the environment for misspelled settings."""

import os
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from bedplate import deprecations

# Kubernetes sets these in every pod for each service of the namespace, and a service
# may be called `bedplate` or `bedplate-worker`.
_KUBERNETES_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$"
)
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")


def find_unknown_variable(
    prefix: str, names: Collection[str], env_file: str | None
) -> str | None:
    """Describe the first variable with the prefix that is not one of these names.

    A misspelled `BEDPLATE_SIGNUPS=closed` would otherwise leave sign-up open. The text
    suggests the nearest name and never shows a value. Return None if all are settings.
    """
    settings = {name.upper() for name in names}
    unknown = sorted(set(_variables(prefix, env_file)) - settings)
    if not unknown:
        return None
    advice = _advice(prefix, unknown[0], settings)
    return f"{prefix}{unknown[0]} is not a setting. {advice}"


def _advice(prefix: str, name: str, settings: Collection[str]) -> str:
    for entry in deprecations.DEPRECATIONS:
        if entry.old == prefix + name:
            return f"Use {entry.new}."
    nearest = get_close_matches(name, settings, n=1)
    return f"Did you mean {prefix}{nearest[0]}?" if nearest else "Remove it."


def _variables(prefix: str, env_file: str | None) -> Iterator[str]:
    """Yield the names after the prefix, in upper case: case does not matter."""
    in_file = dotenv_values(env_file) if env_file and Path(env_file).is_file() else {}
    for name, value in {**in_file, **os.environ}.items():
        if name.upper().startswith(prefix) and not _is_from_kubernetes(name, value):
            yield name.upper().removeprefix(prefix)


def _is_from_kubernetes(name: str, value: str | None) -> bool:
    if name.endswith("_PORT") and _KUBERNETES_PORT.match(value or ""):
        return True
    return _KUBERNETES_NAME.search(name) is not None

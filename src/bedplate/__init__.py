"""The backend under a product, as a service and as a package.

from bedplate import Module, Settings, create_app
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.config import Settings
    from bedplate.dispatcher import with_django
    from bedplate.main import create_app, install
    from bedplate.module import Module

__all__ = ["Module", "Settings", "create_app", "install", "with_django"]

_HOMES = {
    "Module": "module",
    "Settings": "config",
    "create_app": "main",
    "install": "main",
    "with_django": "dispatcher",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `bedplate --help` and the light modules stay light.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

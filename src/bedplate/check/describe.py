"""Run in a process of its own: imports an application and writes down what it says."""

import inspect
import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def main(folder: str, root: str, name: str, answer: str) -> None:
    warnings.simplefilter("ignore")
    sys.path[:0] = [folder, root]
    app = load(name)
    told = {"document": app.openapi(), "endpoints": endpoints(app)}
    Path(answer).write_text(json.dumps(told), "utf-8")


def load(name: str) -> FastAPI:
    """The application `package.module:name`, made if that is what makes it."""
    module, _, attribute = name.partition(":")
    app = getattr(import_module(module), attribute)
    if not isinstance(app, FastAPI) and callable(app):
        app = app()
    if not isinstance(app, FastAPI):
        raise SystemExit(f"it is no FastAPI application but a {type(app).__name__}")
    return app


def endpoints(app: FastAPI) -> dict[str, tuple[str, int]]:
    """Where the function of each operation stands."""
    found = {}
    for context in iter_route_contexts(app.routes):
        function: Any = getattr(context.original_route, "endpoint", None)
        code: Any = getattr(inspect.unwrap(function or len), "__code__", None)
        if code is not None:
            for method in context.methods or ():
                place = (code.co_filename, code.co_firstlineno)
                found[f"{method} {context.path_format}"] = place
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A program: imports an application and writes its OpenAPI document to a file."""

import inspect
import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def main(folder: str, root: str, name: str, result: str) -> None:
    warnings.simplefilter("ignore")
    sys.path[:0] = [folder, root]
    app = load(name)
    described = {"document": app.openapi(), "endpoints": endpoints(app)}
    Path(result).write_text(json.dumps(described), "utf-8")


def load(name: str) -> FastAPI:
    """Import the application `package.module:name`, or call it if it is a factory."""
    module, _, attribute = name.partition(":")
    app = getattr(import_module(module), attribute)
    if not isinstance(app, FastAPI) and callable(app):
        app = app()
    if not isinstance(app, FastAPI):
        raise SystemExit(f"it is a {type(app).__name__}, not a FastAPI application")
    return app


def endpoints(app: FastAPI) -> dict[str, tuple[str, int]]:
    """Return the file and first line of each operation's function."""
    places = {}
    for context in iter_route_contexts(app.routes):
        function: Any = getattr(context.original_route, "endpoint", None)
        # `len` stands for a missing function: like one written in C, it has no code.
        code: Any = getattr(inspect.unwrap(function or len), "__code__", None)
        if code is not None:
            for method in context.methods or ():
                place = (code.co_filename, code.co_firstlineno)
                places[f"{method} {context.path_format}"] = place
    return places


if __name__ == "__main__":
    main(*sys.argv[1:])

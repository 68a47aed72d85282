"""`/docs` and `/openapi.json`: the API's documentation, without a CDN."""

import hashlib
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from bedplate.api.dependencies import runtime_of
from bedplate.api.health import json_response
from bedplate.core.errors import NotFound

ASSETS = Path(fastapi_offline.__file__).parent / "static"

_START = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>{start}</script>
</html>
"""


async def _require_docs(request: Request) -> None:
    """Raise NotFound if the documentation is switched off."""
    if not runtime_of(request).settings.docs:
        raise NotFound


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        await _require_docs(Request(scope))
        return await super().get_response(path, scope)


def install_docs(app: FastAPI) -> None:
    """Add `/docs`, with scripts and styles from the package: it works offline.

    The setting is read on each request, so that `bind` can change it.
    """
    digest = hashlib.sha256(_START.encode()).digest()
    policy = _docs_policy(digest)
    page = _PAGE.format(title=app.title, start=_START)

    options: Any = {
        "include_in_schema": False,
        "dependencies": [Depends(_require_docs)],
    }

    @app.get("/docs", **options)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.get("/openapi.json", **options)
    async def document() -> Response:
        return json_response(app.openapi())

    app.mount("/docs/assets", _Assets(directory=ASSETS))


def _docs_policy(script_digest: bytes) -> str:
    import base64

    script = base64.b64encode(script_digest).decode()
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
        "style-src 'self' 'unsafe-inline'; "
        f"script-src 'self' 'sha256-{script}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

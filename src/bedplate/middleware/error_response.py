"""Render errors as responses, for the layers outside the routes."""

from starlette.responses import Response

from bedplate.core.envelope import envelope
from bedplate.core.errors import APIError

CLIENT_LEFT = 499
"""Status, in logs and metrics, of a request whose client left before the response."""


def render(error: APIError) -> Response:
    """Return an error's response."""
    return Response(
        envelope(error),
        error.status_code,
        headers=dict(error.headers),
        media_type="application/json",
    )

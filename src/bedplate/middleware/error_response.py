"""The envelope of an error as a response, for every layer outside the routes."""

from starlette.responses import Response

from bedplate.core.envelope import envelope
from bedplate.core.errors import APIError

CLIENT_LEFT = 499
"""The status in logs and metrics of a request whose client left before the answer."""


def render(error: APIError) -> Response:
    """The envelope of an error, as a response."""
    return Response(
        envelope(error),
        error.status_code,
        headers=dict(error.headers),
        media_type="application/json",
    )

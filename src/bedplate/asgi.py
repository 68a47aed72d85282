"""`bedplate.asgi:app`, for any ASGI server; settings from the environment."""

from bedplate.main import create_app

app = create_app()

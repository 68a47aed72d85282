import os

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///app.db")
PASSWORD_CHANGED = "password_changed"
token_url: str | None = None


def connect(user: str, password: str) -> str:
    """Connect with a name and a password: `secret` stays where it is."""
    return user + password


connect("shop", password=os.environ["PASSWORD"])

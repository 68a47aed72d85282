import os

import jwt

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///app.db")
PASSWORD_CHANGED = "password_changed"
token_url: str | None = None
token_type: str = "bearer"
PASSWORD_HASHERS, MODEL = ["shop.hashers.Argon2"], "shop.User"
secret = os.getenv("APP_SECRET", "")
issuer = os.getenv("ISSUER", "shop")


def connect(user: str, password: str) -> str:
    """Connect with a name and a password: `secret` stays where it is."""
    return user + password


def sign(claims: dict[str, str]) -> str:
    return jwt.encode(claims, SECRET_KEY, algorithm="HS256")


connect("shop", password=os.environ["PASSWORD"])

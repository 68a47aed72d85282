import os

import jwt

SECRET_KEY = "d8Fh2kPq0LmZx7Vb"  # finds: S105
API_KEY = "d8Fh2kPq0LmZx7Vb1nRt"  # finds: secret
DATABASE_URL = "postgresql://shop:h4rdtoguess@db.example.com/shop"  # finds: secret
password = "h4rdtoguess"  # finds: S105
AWS = "AKIAQYLPMN5HHHFPZAM2"  # finds: secret


def connect(user: str, password: str = "h4rdtoguess") -> str:  # finds: S107
    return user + password


connect("shop", password="h4rdtoguess")  # finds: S106
token_key = os.environ.get("TOKEN_KEY", "change-me")  # finds: secret-in-call
jwt_secret = os.getenv("JWT_SECRET", "d8Fh2kPq0LmZx7Vb")  # finds: secret-in-call


def sign(claims: dict[str, str]) -> str:
    return jwt.encode(claims, "change-me", algorithm="HS256")  # finds: secret-in-call

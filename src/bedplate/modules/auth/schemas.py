from typing import Annotated, Literal

from pydantic import StringConstraints

from bedplate.core.security import MAX_PASSWORD_LENGTH
from bedplate.modules.users.schemas import MAX_EMAIL_LENGTH
from bedplate.schemas import NO_NUL, ResponseSchema, Schema

ShortText = Annotated[str, StringConstraints(max_length=2048, pattern=NO_NUL)]


class TokenForm(Schema):
    """The password grant (RFC 6749, section 4.3). The username is the email address.

    `scope`, `client_id` and `client_secret` are what OAuth2 clients send along; they
    change nothing here.
    """

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_EMAIL_LENGTH, pattern=NO_NUL),
    ]
    password: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=NO_NUL),
    ]
    scope: ShortText = ""
    client_id: ShortText | None = None
    client_secret: ShortText | None = None


class TokenResponse(ResponseSchema, frozen=True):
    """RFC 6749, section 5.1. `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int

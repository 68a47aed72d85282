from typing import Annotated, Literal

from pydantic import StringConstraints, WithJsonSchema

from bedplate.core.security import MAX_PASSWORD_LENGTH
from bedplate.modules.users.schemas import MAX_EMAIL_LENGTH, Email, NewPassword
from bedplate.schemas import NO_NUL, ResponseSchema, Schema

ShortText = Annotated[str, StringConstraints(max_length=2048, pattern=NO_NUL)]
# Of any length: one that is not ours is refused as an unknown token.
Token = Annotated[
    str,
    StringConstraints(min_length=1, pattern=NO_NUL),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 2048}),
]
Password = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=NO_NUL)
]


class TokenForm(Schema):
    """The password and refresh grants (RFC 6749, sections 4.3 and 6).

    The username is the email address. OAuth2 clients also send `scope`, `client_id` and
    `client_secret`, which have no effect.
    """

    grant_type: Literal["password", "refresh_token"] = "password"
    username: (
        Annotated[
            str,
            StringConstraints(
                min_length=1, max_length=MAX_EMAIL_LENGTH, pattern=NO_NUL
            ),
        ]
        | None
    ) = None
    password: Password | None = None
    refresh_token: Token | None = None
    scope: ShortText = ""
    client_id: ShortText | None = None
    client_secret: ShortText | None = None

    def missing(self) -> list[str]:
        """Return the fields that this grant requires and the form lacks."""
        if self.grant_type == "refresh_token":
            required = {"refresh_token": self.refresh_token}
        else:
            required = {"username": self.username, "password": self.password}
        return [name for name, value in required.items() if value is None]


class TokenResponse(ResponseSchema, frozen=True):
    """RFC 6749, section 5.1. `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int
    refresh_token: str


class AcceptedResponse(ResponseSchema, frozen=True):
    """The same response whether or not there was anything to do."""

    status: Literal["accepted"]


class PasswordChange(Schema):
    current_password: Password
    new_password: NewPassword


class EmailOnly(Schema):
    email: Email


class PasswordReset(Schema):
    token: Token
    new_password: NewPassword


class TokenOnly(Schema):
    token: Token


class EmailChange(Schema):
    new_email: Email
    current_password: Password

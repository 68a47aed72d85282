from typing import Annotated, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from bedplate.core.security import MAX_PASSWORD_LENGTH
from bedplate.modules.users.schemas import MAX_EMAIL_LENGTH, Email, NewPassword
from bedplate.schemas import NO_NUL, ResponseSchema, Schema, example

ShortText = Annotated[str, StringConstraints(max_length=2048, pattern=NO_NUL)]
# Of any length: one that is not ours is refused as an unknown token.
Token = Annotated[
    str,
    StringConstraints(min_length=1, pattern=NO_NUL),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 2048}),
    Field(description="The token."),
]
Username = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_EMAIL_LENGTH, pattern=NO_NUL)
]
Password = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_PASSWORD_LENGTH, pattern=NO_NUL)
]
CurrentPassword = Annotated[Password, Field(description="Your present password.")]


class TokenForm(Schema):
    """The password and refresh grants (RFC 6749, sections 4.3 and 6).

    The username is the email address. OAuth2 clients also send `scope`, `client_id` and
    `client_secret`, which have no effect.
    """

    model_config = example(
        grant_type="password",
        username="ada@example.com",
        password="Correct-h0rse",  # noqa: S106
    )

    grant_type: Annotated[
        Literal["password", "refresh_token"],
        Field(description="`password` signs in, `refresh_token` refreshes a session."),
    ] = "password"
    username: Annotated[
        Username | None, Field(description="The email address, for `password`.")
    ] = None
    password: Annotated[
        Password | None, Field(description="The password, for `password`.")
    ] = None
    refresh_token: Annotated[
        Token | None, Field(description="The refresh token, for `refresh_token`.")
    ] = None
    scope: Annotated[ShortText, Field(description="Ignored.")] = ""
    client_id: Annotated[ShortText | None, Field(description="Ignored.")] = None
    client_secret: Annotated[ShortText | None, Field(description="Ignored.")] = None

    def missing(self) -> list[str]:
        """Return the fields that this grant requires and the form lacks."""
        if self.grant_type == "refresh_token":
            required = {"refresh_token": self.refresh_token}
        else:
            required = {"username": self.username, "password": self.password}
        return [name for name, value in required.items() if value is None]


class TokenResponse(ResponseSchema, frozen=True):
    """RFC 6749, section 5.1. `expires_in` is in seconds."""

    access_token: Annotated[
        str, Field(description="The token for `Authorization: Bearer …`, a JWT.")
    ]
    token_type: Annotated[
        Literal["bearer"], Field(description="The kind of token (RFC 6750).")
    ]
    expires_in: Annotated[
        int, Field(description="The lifetime of the access token, in seconds.")
    ]
    refresh_token: Annotated[
        str, Field(description="The token for the next refresh. It works once.")
    ]


class AcceptedResponse(ResponseSchema, frozen=True):
    """The same response whether or not there was anything to do."""

    status: Annotated[Literal["accepted"], Field(description="Always `accepted`.")]


class PasswordChange(Schema):
    """Your present password and the new one."""

    model_config = example(current_password="Correct-h0rse", new_password="N3w-h0rse")  # noqa: S106

    current_password: CurrentPassword
    new_password: NewPassword


class EmailOnly(Schema):
    """The address of an account."""

    model_config = example(email="ada@example.com")

    email: Email


class PasswordReset(Schema):
    """The token of a link, and the new password."""

    model_config = example(token="…", new_password="N3w-h0rse")  # noqa: S106

    token: Token
    new_password: NewPassword


class TokenOnly(Schema):
    """The token of a link."""

    model_config = example(token="…")  # noqa: S106

    token: Token


class EmailChange(Schema):
    """The new address, and your present password."""

    model_config = example(
        new_email="ada@example.org",
        current_password="Correct-h0rse",  # noqa: S106
    )

    new_email: Email
    current_password: CurrentPassword

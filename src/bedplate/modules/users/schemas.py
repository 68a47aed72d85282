from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from bedplate.caller import Account
from bedplate.core.names import check_name
from bedplate.core.permissions import USER
from bedplate.core.security import MAX_PASSWORD_LENGTH
from bedplate.schemas import (
    NO_CONTROLS,
    NO_NUL,
    NOT_SENT,
    ListParams,
    Page,
    PatchSchema,
    ResponseSchema,
    Schema,
    SearchText,
    example,
)

MAX_EMAIL_LENGTH = 255


def normalize_email(text: str) -> str:
    """Return the form of an address that is stored and looked up: trimmed, lower case.

    Raises:
        ValueError: the text is not an address, or is too long.
    """
    try:
        # Allows `.test` (RFC 2606), which tests use.
        address = validate_email(
            text.strip(), check_deliverability=False, test_environment=True
        )
    except EmailNotValidError as error:
        raise ValueError("This is not an email address") from error
    normalized = address.normalized.lower()
    if len(normalized) > MAX_EMAIL_LENGTH:
        raise ValueError(f"An address has at most {MAX_EMAIL_LENGTH} characters")
    return normalized


Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_LENGTH, pattern=NO_CONTROLS),
    AfterValidator(normalize_email),
    WithJsonSchema(
        {"type": "string", "format": "email", "maxLength": MAX_EMAIL_LENGTH}
    ),
    Field(description="An email address."),
]
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=100, pattern=NO_CONTROLS
    ),
    AfterValidator(check_name),
    Field(description="The name that others see."),
]
# The setting `password_policy` decides about the rest, so the service checks it.
NewPassword = Annotated[
    str,
    StringConstraints(min_length=8, max_length=MAX_PASSWORD_LENGTH, pattern=NO_NUL),
    Field(description="A new password, by the rules of the password policy."),
]
# Roles are a setting, so the service checks them.
Role = Annotated[
    str,
    StringConstraints(min_length=1, max_length=50, pattern=NO_NUL),
    Field(description="One of the configured roles."),
]


class UserCreate(Schema):
    """A new account."""

    model_config = example(
        email="ada@example.com",
        name="Ada Lovelace",
        password="Correct-h0rse",  # noqa: S106
    )

    email: Email
    name: Name
    password: Annotated[NewPassword, Field(examples=["Correct-h0rse"])]
    # The service answers 403 to anyone but an admin who sends another role.
    role: Annotated[  # bedplate: ignore[privileged-field]
        Role,
        Field(description="A role. Only admins can choose one other than the default."),
    ] = USER


class UserUpdate(PatchSchema):
    """The fields of an account that an admin changes."""

    model_config = example(name="Ada King")

    email: Email = NOT_SENT
    name: Name = NOT_SENT
    role: Role = NOT_SENT  # bedplate: ignore[privileged-field] as above


class MeUpdate(PatchSchema):
    """The fields of your account that you change."""

    model_config = example(name="Ada King")

    name: Name = NOT_SENT


class PasswordSet(Schema):
    password: NewPassword


class UserResponse(Account, frozen=True):
    """An account. No password or hash ever leaves the system."""


class UserListResponse(Page[UserResponse], frozen=True):
    """One page of accounts."""


class UserListParams(ListParams):
    sort: Literal["created_at", "-created_at", "email", "-email", "name", "-name"] = (
        "-created_at"
    )
    role: Role | None = None
    is_active: bool | None = None
    q: Annotated[
        SearchText | None,
        Field(description="Text to find in the email or the name, without case."),
    ] = None


class ActivatedResponse(ResponseSchema, frozen=True):
    status: Annotated[Literal["activated"], Field(description="Always `activated`.")]


class DeactivatedResponse(ResponseSchema, frozen=True):
    status: Annotated[
        Literal["deactivated"], Field(description="Always `deactivated`.")
    ]


class SessionResponse(ResponseSchema, frozen=True):
    """A session of an account. It has an id, never a token."""

    id: UUID
    created_at: datetime
    last_used_at: Annotated[
        datetime, Field(description="Time of the last refresh, in UTC.")
    ]
    expires_at: Annotated[
        datetime,
        Field(description="Time when the session ends if it is not refreshed."),
    ]
    ip: Annotated[str | None, Field(description="The IP address that signed in.")]
    user_agent: Annotated[str | None, Field(description="The client that signed in.")]
    current: Annotated[
        bool, Field(description="Whether this is the session of the request.")
    ]


class SessionListResponse(ResponseSchema, frozen=True):
    items: Annotated[
        list[SessionResponse],
        Field(description="The sessions, most recently used first."),
    ]

"""The tree of API errors. Services raise them, and one handler renders them.

APIError
├── BadRequest             400  InvalidToken, InvalidCursor
├── NotAuthenticated       401  InvalidCredentials
├── PermissionDenied       403  AccountInactive, EmailNotVerified, …
├── NotFound               404
├── MethodNotAllowed       405
├── RequestTimeout         408
├── Conflict               409  one subclass for each named database constraint
├── PreconditionFailed     412
├── PayloadTooLarge        413
├── UnsupportedMediaType   415
├── ValidationFailed       422
├── RateLimited            429
├── HeadersTooLarge        431
├── InternalError          500
└── ServiceUnavailable     503
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar


class Detail(NamedTuple):
    """The problem of one field, such as `body.email`, `query.page`, `path.user_id`."""

    field: str
    message: str


class APIError(Exception):
    """An error response: an HTTP status, a code for programs, a message for people.

    The message and the details are sent to the client unchanged, so they must never
    contain rejected input, SQL or a secret.
    """

    status_code: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    message: str = "Something went wrong on our side"
    headers: Mapping[str, str] = {}

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Sequence[Detail] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.message
        self.details = details
        self.headers = {**self.headers, **(headers or {})}
        super().__init__(self.message)


class BadRequest(APIError):
    status_code = 400
    code = "BAD_REQUEST"
    message = "The request is malformed"


class InvalidToken(BadRequest):
    code = "INVALID_TOKEN"
    message = "This link is no longer valid: it was used, was replaced, or has expired"


class InvalidCursor(BadRequest):
    """400 for a cursor that is not of this list in this order."""

    code = "INVALID_CURSOR"
    message = "The cursor is invalid, or belongs to another list or sort order"


class NotAuthenticated(APIError):
    """401, always with the challenge that RFC 6750, section 3 requires."""

    status_code = 401
    code = "UNAUTHENTICATED"
    message = "Sign in first"
    headers = {"WWW-Authenticate": "Bearer"}


class InvalidCredentials(NotAuthenticated):
    code = "INVALID_CREDENTIALS"
    message = "Email or password is wrong"


class InvalidRefreshToken(NotAuthenticated):
    code = "INVALID_REFRESH_TOKEN"
    message = "Sign in again"


class PermissionDenied(APIError):
    """403 for a caller who may not do this."""

    status_code = 403
    code = "FORBIDDEN"
    message = "You don't have permission to do this"


class NotFound(APIError):
    """404. Subclass it for each resource, with a message of its own."""

    status_code = 404
    code = "NOT_FOUND"
    message = "Not found"


class MethodNotAllowed(APIError):
    status_code = 405
    code = "METHOD_NOT_ALLOWED"
    message = "The method is not allowed for this URL"


class RequestTimeout(APIError):
    status_code = 408
    code = "REQUEST_TIMEOUT"
    message = "The request took too long to arrive. Send it again."


class Conflict(APIError):
    """409. A subclass with `constraint=` is raised when that constraint is violated.

    class EmailTaken(Conflict, constraint="uq_users_email"):
        code = "EMAIL_TAKEN"
    """

    status_code = 409
    code = "CONFLICT"
    message = "The request conflicts with stored data"
    by_constraint: ClassVar[dict[str, type["Conflict"]]] = {}

    def __init_subclass__(cls, constraint: str | None = None) -> None:
        if constraint is not None:
            Conflict.by_constraint[constraint] = cls


class IdempotencyInProgress(Conflict, constraint="pk_idempotency_keys"):
    code = "IDEMPOTENCY_IN_PROGRESS"
    message = "The first request with this Idempotency-Key is still in progress"


class PreconditionFailed(APIError):
    status_code = 412
    code = "PRECONDITION_FAILED"
    message = "The resource has changed since you read it. Read it again."


class PayloadTooLarge(APIError):
    status_code = 413
    code = "PAYLOAD_TOO_LARGE"
    message = "The request body is too large"


class UnsupportedMediaType(APIError):
    status_code = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "The media type of the request body is not supported"


class ValidationFailed(APIError):
    """422, with a detail for each field that is wrong."""

    status_code = 422
    code = "VALIDATION_ERROR"
    message = "Validation failed"


class IdempotencyKeyReused(APIError):
    status_code = 422
    code = "IDEMPOTENCY_KEY_REUSED"
    message = "This Idempotency-Key was already used with a different request"


class RateLimited(APIError):
    """429. Raise it with `Retry-After`: the seconds until the limit resets."""

    status_code = 429
    code = "RATE_LIMITED"
    message = "Too many attempts. Wait a moment, then try again."
    headers = {"Retry-After": "1"}


class HeadersTooLarge(APIError):
    status_code = 431
    code = "REQUEST_HEADER_FIELDS_TOO_LARGE"
    message = "The request line and headers are too large or too many"


class InternalError(APIError):
    """500. The cause is only in the log, under the request id."""


class ServiceUnavailable(APIError):
    status_code = 503
    code = "SERVICE_UNAVAILABLE"
    message = "The service is temporarily unavailable. Try again."
    headers = {"Retry-After": "1"}


class PermanentError(Exception):
    """A failure that a retry can't fix: a job that raises it is marked dead."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


def raises(*errors: type[APIError]) -> Callable[[_Method], _Method]:
    """Declare the errors of a service method, besides those of every request.

    @raises(PostNotFound, PermissionDenied)
    async def publish(self, post_id: UUID, caller: Caller) -> PostResponse: ...

    Routers, viewsets and the OpenAPI document read them: `errors(PostService.publish)`.
    """

    def declare(method: _Method) -> _Method:
        method.raised_errors = errors  # type: ignore[attr-defined]  # read below
        return method

    return declare


def errors_of(method: Any) -> Sequence[type[APIError]]:
    """Return the errors that a service method declares with `raises`."""
    errors: Sequence[type[APIError]] = getattr(method, "raised_errors", ())
    return errors

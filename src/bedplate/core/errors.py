"""The error tree on one screen. Services raise these; one handler renders them.

APIError
├── BadRequest             400  InvalidToken, InvalidCursor
├── NotAuthenticated       401  InvalidCredentials
├── PermissionDenied       403  AccountInactive, EmailNotVerified, …
├── NotFound               404
├── MethodNotAllowed       405
├── RequestTimeout         408
├── Conflict               409  one subclass a named database constraint
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
    """What is wrong with one field, as `body.email`, `query.page`, `path.user_id`."""

    field: str
    message: str


class APIError(Exception):
    """An answer other than success: a status, a code for machines, a text for people.

    The message and the details go to the caller as they are, so they never hold
    rejected input, SQL or a secret.
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
    message = "The request can't be understood"


class InvalidToken(BadRequest):
    code = "INVALID_TOKEN"
    message = "That link is not good any more: it was used, replaced or has expired"


class InvalidCursor(BadRequest):
    code = "INVALID_CURSOR"
    message = "That cursor is not one of this list in this order"


class NotAuthenticated(APIError):
    """401, always with the challenge that RFC 6750, section 3 asks for."""

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
    status_code = 403
    code = "FORBIDDEN"
    message = "You may not do that"


class NotFound(APIError):
    status_code = 404
    code = "NOT_FOUND"
    message = "Not found"


class MethodNotAllowed(APIError):
    status_code = 405
    code = "METHOD_NOT_ALLOWED"
    message = "That method is not allowed here"


class RequestTimeout(APIError):
    status_code = 408
    code = "REQUEST_TIMEOUT"
    message = "The request took too long to arrive; send it again"


class Conflict(APIError):
    """409. A subclass made with `constraint=` answers for that database constraint.

    class EmailTaken(Conflict, constraint="uq_users_email"):
        code = "EMAIL_TAKEN"
    """

    status_code = 409
    code = "CONFLICT"
    message = "That conflicts with what is stored"
    by_constraint: ClassVar[dict[str, type["Conflict"]]] = {}

    def __init_subclass__(cls, constraint: str | None = None) -> None:
        if constraint is not None:
            Conflict.by_constraint[constraint] = cls


class IdempotencyInProgress(Conflict, constraint="pk_idempotency_keys"):
    code = "IDEMPOTENCY_IN_PROGRESS"
    message = "The first request with that Idempotency-Key is still under way"


class PreconditionFailed(APIError):
    status_code = 412
    code = "PRECONDITION_FAILED"
    message = "It has changed since you read it; read it again"


class PayloadTooLarge(APIError):
    status_code = 413
    code = "PAYLOAD_TOO_LARGE"
    message = "The body is too large"


class UnsupportedMediaType(APIError):
    status_code = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "The body's media type is not one that is accepted here"


class ValidationFailed(APIError):
    status_code = 422
    code = "VALIDATION_ERROR"
    message = "Validation failed"


class IdempotencyKeyReused(APIError):
    status_code = 422
    code = "IDEMPOTENCY_KEY_REUSED"
    message = "That Idempotency-Key was used with another request"


class RateLimited(APIError):
    """429. Raise it with `Retry-After`, the seconds until the limit is fresh."""

    status_code = 429
    code = "RATE_LIMITED"
    message = "Too many tries; wait a little"
    headers = {"Retry-After": "1"}


class HeadersTooLarge(APIError):
    status_code = 431
    code = "REQUEST_HEADER_FIELDS_TOO_LARGE"
    message = "The request line and headers are too large or too many"


class InternalError(APIError):
    """500. The cause is in the log, under the request id, and nowhere else."""


class ServiceUnavailable(APIError):
    status_code = 503
    code = "SERVICE_UNAVAILABLE"
    message = "The service can't answer just now; try again"
    headers = {"Retry-After": "1"}


class PermanentError(Exception):
    """A failure that another try can't fix: a job that raises it is not retried."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


def raises(*errors: type[APIError]) -> Callable[[_Method], _Method]:
    """Declare the errors of a service method, beside those of every request.

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

"""How a job's failure is stored: its name, message and traceback."""

import traceback
from typing import Any, Final

MAX_TRACEBACK_CHARACTERS: Final = 8_000


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Return a failure in the engine's portable form (its `JsonWorkflowErrorData`)."""
    return {
        "name": type(error).__name__,
        "message": str(error),
        "data": {"traceback": _traceback_of(error)},
    }


def as_engine_error(error: BaseException) -> Exception:
    """Return an exception that the engine stores as `describe_failure` describes it.

    Of the job's own exception it would store no traceback, but attributes such as
    `data`, `details` or `payload`, whatever they hold.
    """
    failure = describe_failure(error)
    # The engine takes the name from the class.
    stored: Any = type(failure["name"], (Exception,), {})(failure["message"])
    stored.data = failure["data"]
    return stored  # type: ignore[no-any-return]  # an Exception by its base


def _traceback_of(error: BaseException) -> str:
    """Return the end of the traceback, where the cause stands."""
    text = "".join(traceback.format_exception(error))
    if len(text) <= MAX_TRACEBACK_CHARACTERS:
        return text
    return "[…]\n" + text[-MAX_TRACEBACK_CHARACTERS:]

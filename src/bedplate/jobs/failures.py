"""Converts a job's failure to its stored form: name, message and traceback."""

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
    """Return an exception that the engine stores in the form of `describe_failure`.

    For the job's own exception it would store no traceback, but the attributes `data`,
    `details` or `payload`, which may contain anything.
    """
    failure = describe_failure(error)
    # The engine stores the name of the class.
    engine_error: Any = type(failure["name"], (Exception,), {})(failure["message"])
    engine_error.data = failure["data"]
    return engine_error  # type: ignore[no-any-return]  # an Exception by its base


def _traceback_of(error: BaseException) -> str:
    """Return the end of the traceback, which shows the cause."""
    text = "".join(traceback.format_exception(error))
    if len(text) <= MAX_TRACEBACK_CHARACTERS:
        return text
    return "[…]\n" + text[-MAX_TRACEBACK_CHARACTERS:]

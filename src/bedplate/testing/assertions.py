"""Assertions on answers, for tests of ours and of our users."""

from httpx import Response


def assert_refused(answer: Response, status: int, code: str, *fields: str) -> None:
    """The answer is this error, in the envelope, and blames these fields alone."""
    assert (answer.status_code, answer.text) == (status, answer.text)
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert error.keys() == {"code", "message", "details", "request_id"}
    assert error["code"] == code, answer.text
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert [d["field"] for d in error["details"] or []] == list(fields), answer.text
    if status == 401:  # noqa: PLR2004, RFC 9110, section 15.5.2
        assert answer.headers["www-authenticate"] == "Bearer"

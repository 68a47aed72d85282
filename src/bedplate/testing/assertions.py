"""Assertions on responses, for our tests and yours."""

from httpx import Response


def assert_refused(response: Response, status: int, code: str, *fields: str) -> None:
    """Assert that a response is this error, with details for exactly these fields."""
    assert (response.status_code, response.text) == (status, response.text)
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert response.json().keys() == {"error"}
    assert error.keys() == {"code", "message", "details", "request_id"}
    assert error["code"] == code, response.text
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert [d["field"] for d in error["details"] or []] == list(fields), response.text
    if status == 401:  # noqa: PLR2004, RFC 9110, section 15.5.2
        assert response.headers["www-authenticate"] == "Bearer"

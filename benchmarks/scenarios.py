"""The scenarios: the requests that both servers get, prebuilt."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks.client import Request, ask
from benchmarks.seed import ADMIN_EMAIL, PASSWORD, Account

PAGE_SIZE = 20
_SAMPLE = 1_000  # accounts that are requested in turn
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Scenario(NamedTuple):
    name: str
    title: str
    requests: Sequence[Request]


def make_scenarios(
    port: int, accounts: Sequence[Account], posts: int
) -> list[Scenario]:
    """Return all scenarios, with the token of an admin who signs in at this port."""
    token = ask(port, sign_in(ADMIN_EMAIL))["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}

    def get(path: str, of: str = "users") -> Request:
        return Request("GET", f"/api/v1/{of}{path}", bearer)

    users = accounts[1 : _SAMPLE + 1]
    last = len(accounts) // PAGE_SIZE
    deep = ask(port, get(f"?page={last - 1}"))["next_cursor"]
    last_posts = posts // PAGE_SIZE
    deep_posts = ask(port, get(f"?page={last_posts - 1}", "posts"))["next_cursor"]
    deep_page = get(f"?cursor={deep_posts}", "posts")
    post = b'{"title": "A post", "content": "Its text, some words long."}'
    as_json = {**bearer, "Content-Type": "application/json"}
    create = Request("POST", "/api/v1/posts", as_json, post)
    return [
        Scenario("live", "no database", [Request("GET", "/health/live")]),
        Scenario("sign-in", "sign-in", [sign_in(user.email) for user in users]),
        Scenario("get", "GET one user", [get(f"/{user.id}") for user in users]),
        Scenario("page", "list 20 users + total", [get("?page=1")]),
        Scenario("deep-page", f"the same, page {last}", [get(f"?page={last}")]),
        Scenario("cursor", "20 users by cursor", [get("?cursor=")]),
        Scenario("deep-cursor", "the same, near the end", [get(f"?cursor={deep}")]),
        Scenario("posts", "20 posts, authors, total", [get("?page=1", "posts")]),
        Scenario("posts-cursor", "20 posts by cursor", [get("?cursor=", "posts")]),
        Scenario("deep-posts", f"the same, at row {posts:,}", [deep_page]),
        Scenario("create", "create a post", [create]),
    ]  # fmt: skip


NAMES = (
    *("live", "sign-in", "get", "page", "deep-page", "cursor", "deep-cursor"),
    *("posts", "posts-cursor", "deep-posts", "create"),
)


def sign_in(email: str) -> Request:
    form = urlencode({"username": email, "password": PASSWORD})
    return Request("POST", "/api/v1/auth/token", _FORM, form.encode())

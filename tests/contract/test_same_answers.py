"""Generated requests, valid and invalid, to both stacks.

Schemathesis makes them from the OpenAPI document. What reads or is refused must be
answered alike; a write that one stack has done, the other can't find invalid.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from requests.exceptions import InvalidHeader
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from starlette.types import ASGIApp
from support_stacks import PREFIXES

from bedplate.core.clock import utc_now
from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.plugin import PASSWORD, _issue_token

EXAMPLES = 5
FASTAPI, DJANGO = PREFIXES.values()
# Equal on both stacks. `Location` isn't: it has the stack's own prefix.
HEADERS = ("allow", "cache-control", "content-type", "etag", "www-authenticate")
# The second write may find what the first has done: deleted, taken, or changed.
DONE = {404, 409, 412}

Operation = APIOperation[Any, Any, Any, Any]


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Turn off two settings that don't work with generated requests.

    One address sends more of them than limits allow. And hypothesis refuses to draw
    while other threads use `random`, as the embedded worker's do.
    """
    return {"rate_limits_enabled": False, "embedded_worker": False}


@pytest_asyncio.fixture
async def comparison(
    app: Application, service: ASGIApp, admin: User, user: User, other: User
) -> AsyncIterator["Comparison"]:
    published = Post(author_id=user.id, title="T", content="C", published_at=utc_now())
    draft = Post(author_id=other.id, title="T", content="C")
    async with app.state.runtime.database.unit_of_work() as session:
        session.add_all([published, draft])
    tokens = [None, *[await _issue_token(app, who.id) for who in (user, admin)]]
    ids = {"user_id": [user.id, other.id], "post_id": [published.id, draft.id]}
    transport = httpx.ASGITransport(service)
    async with httpx.AsyncClient(transport=transport) as client:
        loop = asyncio.get_running_loop()
        yield Comparison(client, loop, tokens, ids)


async def test_both_stacks_answer_alike(comparison: "Comparison") -> None:
    document = await comparison.document()

    await asyncio.to_thread(comparison.run, document)

    assert len(comparison.seen) == 16
    for label, statuses in comparison.seen.items():
        assert min(statuses) < 300 or label.startswith("DELETE"), (label, statuses)
        assert max(statuses) >= 400, (label, statuses)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_comparison_sees_what_differs(
    comparison: "Comparison", monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await comparison.document()
    path = f"{DJANGO}/posts"
    document["paths"] = {path: {"get": document["paths"][path]["get"]}}
    await asyncio.to_thread(comparison.run, document)
    from bedplate.django_site.api.orm_lists import OrmList

    page = OrmList.page
    monkeypatch.setattr(
        OrmList, "page", lambda it, rows, params: page(it, rows.none(), params)
    )
    with pytest.raises(AssertionError, match="GET"):
        await asyncio.to_thread(comparison.run, document)


class Responses(NamedTuple):
    """The responses of both stacks, in the order of the requests."""

    first: httpx.Response
    second: httpx.Response

    def comparable(self) -> list[Any]:
        return [_comparable(response) for response in self]


def _comparable(response: httpx.Response) -> Any:
    """Return the parts of a response that must be equal."""
    body = response.json() if response.content else None
    if response.status_code >= 400 and body is not None:
        body["error"].pop("request_id")
    headers = {name: response.headers.get(name) for name in HEADERS}
    return response.status_code, headers, body


class Comparison:
    """Sends each operation to both stacks, as each caller, and compares."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        loop: asyncio.AbstractEventLoop,
        tokens: Sequence[str | None],
        ids: dict[str, list[Any]],
    ) -> None:
        self.client = client
        self.loop = loop
        self.tokens = tokens
        self.ids = {name: cycle(values) for name, values in ids.items()}
        self.orders = cycle([(FASTAPI, DJANGO), (DJANGO, FASTAPI)])
        self.seen: dict[str, set[int]] = defaultdict(set)

    async def document(self) -> dict[str, Any]:
        """Return the OpenAPI document of the REST framework."""
        served = await self.client.get(f"http://test{DJANGO}/schema")
        document: dict[str, Any] = served.json()
        return document

    def run(self, document: dict[str, Any]) -> None:
        schema = schemathesis.openapi.from_dict(document)
        for result in schema.get_all_operations():
            for mode in GenerationMode:
                self.examine(result.ok(), mode)  # type: ignore[union-attr]  # or it fails here

    def examine(self, operation: Operation, mode: GenerationMode) -> None:
        @hypothesis_settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask_all(case: Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE:
                self.make_likely(case)
            for token in self.tokens:
                self.ask(case, token)

        with suppress(Unsatisfiable):  # GET /users/me has no invalid form
            ask_all()

    def make_likely(self, case: Case[Any]) -> None:
        """Set values that a schema can't describe: existing ids, a valid password."""
        for name in self.ids.keys() & case.path_parameters.keys():
            if case.method != "DELETE":
                case.path_parameters[name] = str(next(self.ids[name]))
        for name in ("if-match", "Idempotency-Key"):  # each stack has its own keys
            case.headers.pop(name, None)
        if isinstance(case.body, dict) and "password" in case.body:
            case.body["password"] = PASSWORD

    def ask(self, case: Case[Any], token: str | None) -> None:
        auth = {"Authorization": f"Bearer {token}"} if token else {}
        options = case.as_transport_kwargs("http://test", auth)
        try:
            request = requests.Request(**options).prepare()
        except InvalidHeader:  # no client sends it
            return
        responses = Responses(*(self.send(request, p) for p in next(self.orders)))
        first, second = responses
        self.seen[case.operation.label].update(a.status_code for a in responses)
        place = f"{request.method} {request.url} {request.body!r}"
        if case.method == "GET" or first.status_code >= 400:
            one, other = responses.comparable()
            assert one == other, place
        else:
            is_done = second.status_code < 400 or second.status_code in DONE
            assert is_done, f"{place}: {second.text}"

    def send(self, request: requests.PreparedRequest, prefix: str) -> httpx.Response:
        url = str(request.url).replace(
            f"http://test{DJANGO}", f"http://test{prefix}", 1
        )
        call = self.client.request(
            str(request.method),
            url,
            headers={n: str(value) for n, value in request.headers.items()},
            content=request.body,  # type: ignore[arg-type]  # as requests made it
        )
        return self._wait(call)

    def _wait(self, call: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(30)

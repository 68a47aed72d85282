"""The running service, against all that its OpenAPI document allows and forbids.

Schemathesis makes requests from the document, right and wrong ones, and compares each
answer with it: status, media type, headers and schema.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
import schemathesis
import uvicorn
from httpx import AsyncClient
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from bedplate.core.clock import utc_now
from bedplate.example.posts.models import Post
from bedplate.main import Application
from bedplate.testing.plugin import PASSWORD, MakeUser

load_all_checks()

NOT_CHECKED = CHECKS.get_by_names(
    [
        # A schema can't say all that makes a password or an address a good one.
        "positive_data_acceptance",
        # These follow one resource through several requests, which is not done here.
        "use_after_free",
        "ensure_resource_availability",
        "object_level_authorization",
    ]
)
EXAMPLES = 10
LAST = "POST /api/v1/auth/logout"  # it ends the session that the others use
# What no generated request gets right: it takes the caller's password, a token out of a
# mail, a session's or a job's id, or another admin.
NEVER_RIGHT = {
    "DELETE /api/v1/users/me",
    "DELETE /api/v1/auth/sessions/{session_id}",
    "GET /api/v1/jobs/{job_id}",
    "DELETE /api/v1/jobs/{job_id}",
    "POST /api/v1/jobs/{job_id}/retry",
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/password/change",
    "POST /api/v1/auth/password/reset",
    "POST /api/v1/auth/email/verify",
    "POST /api/v1/auth/email/change",
    "POST /api/v1/auth/email/change/confirm",
}

Statuses = dict[str, set[int]]
NextId = Callable[[str], UUID]  # by the name of the path's parameter


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    """Two settings that generated requests don't go with.

    One address sends more of them than limits allow. And hypothesis refuses to draw
    while other threads use `random`, as those of the embedded worker do.
    """
    return {"rate_limits_enabled": False, "embedded_worker": False}


async def test_every_answer_is_as_the_document_says(
    app: Application, as_admin: AsyncClient, make_user: MakeUser
) -> None:
    loop = asyncio.get_running_loop()

    async def make_one(parameter: str) -> UUID:
        user = await make_user()
        if parameter == "user_id":
            return user.id
        post = Post(author_id=user.id, title="T", content="C", published_at=utc_now())
        async with app.state.runtime.database.unit_of_work() as session:
            session.add(post)
        return post.id

    def next_id(parameter: str) -> UUID:
        return asyncio.run_coroutine_threadsafe(make_one(parameter), loop).result(10)

    token = as_admin.headers["Authorization"]
    async with serving(app) as url:
        examination = Examination(url, token, next_id)
        seen = await asyncio.to_thread(examination.run, app.openapi())

    for label, statuses in seen.items():
        if label not in NEVER_RIGHT:
            assert min(statuses) < 300, f"{label} has never succeeded"
        assert max(statuses) >= 400, f"{label} has never refused"
    assert len(seen) >= 24
    assert seen.keys() > NEVER_RIGHT


@asynccontextmanager
async def serving(app: Application) -> AsyncIterator[str]:
    """Run the application on a real server."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110, uvicorn has no event for it
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


class Examination:
    """Calls every operation, as an admin and as a stranger, and records statuses."""

    def __init__(self, url: str, token: str, next_id: NextId) -> None:
        self.url = url
        self.callers: list[dict[str, str]] = [{"Authorization": token}, {}]
        self.next_id = next_id
        self.seen: Statuses = defaultdict(set)

    def run(self, document: dict[str, Any]) -> Statuses:
        schema = schemathesis.openapi.from_dict(document)
        results = list(schema.get_all_operations())
        operations = [result.ok() for result in results if isinstance(result, Ok)]
        assert len(operations) == len(results)
        for operation in sorted(operations, key=lambda o: o.label == LAST):
            for mode in GenerationMode:
                self.examine(operation, mode)
        return self.seen

    def examine(
        self, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
    ) -> None:
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
            for headers in self.callers:
                self.ask(case, headers)

        with suppress(Unsatisfiable):  # there is no wrong way to ask for /users/me
            ask_all()

    def make_likely(self, case: Case[Any]) -> None:
        """Fill in values that a schema doesn't know: existing ids, a valid password."""
        for name in {"user_id", "post_id"} & case.path_parameters.keys():
            case.path_parameters[name] = str(self.next_id(name))
        for name in ("If-Match", "if-match"):  # a tag that fits is hard to guess
            case.headers.pop(name, None)
        if isinstance(case.body, dict) and "password" in case.body:
            case.body["password"] = PASSWORD

    def ask(self, case: Case[Any], headers: dict[str, str]) -> None:
        answer = case.call_and_validate(
            self.url,
            headers=headers,
            excluded_checks=NOT_CHECKED,  # type: ignore[arg-type]  # as its guide has it
        )
        self.seen[case.operation.label].add(answer.status_code)

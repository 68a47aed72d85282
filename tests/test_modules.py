"""Which modules make an application, and one that leaves posts out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bedplate.config import Settings
from bedplate.example import BUILT_IN, posts
from bedplate.jobs import JobRun, job
from bedplate.main import create_app
from bedplate.module import Module, ModuleError, check_modules
from bedplate.modules import audit, auth, emails, jobs, users
from bedplate.modules.emails.tasks import send_email
from bedplate.runtime import Runtime
from bedplate.testing.mailbox import Mailbox
from bedplate.testing.plugin import client_for, running

KEY = "a key for tests, at least 32 bytes long"
WITHOUT_POSTS = tuple(module for module in BUILT_IN if module is not posts)


@job
async def purge_jobs(run: JobRun) -> None:
    """Do nothing, under the name of a built-in job."""


WRONG: list[tuple[Sequence[Module], str]] = [
    ((*BUILT_IN, posts), "the module 'posts' is listed twice: remove one of them"),
    (
        (*BUILT_IN, Module(name="users")),
        "the module 'users' is listed twice: remove one of them",
    ),
    (
        (audit, emails, jobs, users, posts),
        "the module 'posts' requires 'auth': list it earlier",
    ),
    ((posts, *WITHOUT_POSTS), "the module 'posts' requires 'users': list it earlier"),
    (
        (Module(name="x", requires=["y"]),),
        "the module 'x' requires 'y': list it earlier",
    ),
    (
        (Module(name="x", requires=["x"]),),
        "the module 'x' requires 'x': list it earlier",
    ),
    (
        (*BUILT_IN, Module(name="x", jobs=[purge_jobs])),
        "two jobs are named 'purge_jobs': rename one of them",
    ),
]


@pytest.mark.parametrize(("modules", "message"), WRONG)
def test_a_wrong_list_of_modules_stops_the_start_with_one_line(
    modules: Sequence[Module], message: str
) -> None:
    with pytest.raises(ModuleError) as error:
        create_app(Settings.load(_env_file=None, secret_key=KEY), modules)
    assert str(error.value) == message


def test_the_built_in_modules_are_accepted() -> None:
    check_modules(BUILT_IN)
    check_modules(WITHOUT_POSTS)
    assert [m.name for m in BUILT_IN if m is auth or m is users] == ["users", "auth"]


async def test_an_application_without_posts_has_nothing_of_them(
    tmp_path: Path,
) -> None:
    # With a new database, which the application migrates at its start.
    settings = Settings.load(
        _env_file=None,
        secret_key=KEY,
        data_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path / 'own.db'}",
        embedded_worker=False,
    )
    async with running(settings, modules=WITHOUT_POSTS) as app, client_for(app) as c:
        assert (await c.get("/posts")).status_code == 404
        assert not [path for path in app.openapi()["paths"] if "posts" in path]
        runtime: Runtime = app.state.runtime
        assert not [name for name in runtime.permissions.declared if "posts" in name]
        async with runtime.database.engine.connect() as connection:
            tables = await connection.run_sync(
                lambda c: sa.inspect(c).get_table_names()
            )
        assert "posts" not in tables
        assert {"users", "idempotency_keys"} <= {*tables}
        ready = await c.get("http://test/health/ready")
        assert ready.status_code == 200, ready.text
    # Taken in later, they come with the next start.
    async with running(settings, modules=BUILT_IN) as app, client_for(app) as c:
        assert (await c.get("/posts")).json()["total"] == 0


async def test_a_module_brings_mail_templates_before_ours(
    settings: Settings, tmp_path: Path
) -> None:
    templates = tmp_path / "templates" / "en"
    templates.mkdir(parents=True)
    for name in ("invoice", "welcome"):
        (templates / f"{name}.txt").write_text(
            f"Own {name}\n\nText for {{{{ name }}}}\n"
        )
        (templates / f"{name}.html").write_text("<p>{{ name }}</p>")
    shop = Module(name="shop", mail_templates=templates.parent)
    async with running(settings, modules=(*BUILT_IN, shop)) as app:
        runtime = app.state.runtime
        for template in ("invoice", "welcome"):
            context: dict[str, Any] = {"name": "<Ann>"}
            run = JobRun(runtime, template, 1)
            await send_email(
                run, template=template, to="a@example.com", context=context
            )
        mails = Mailbox(tmp_path / "outbox", runtime).to("a@example.com", "Own")

    assert sorted(mail["Subject"] for mail in mails) == ["Own invoice", "Own welcome"]
    html = mails[0].get_body(["html"])
    assert html is not None
    assert "<p>&lt;Ann&gt;</p>" in html.get_content()

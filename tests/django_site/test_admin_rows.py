"""Sessions, posts, jobs, mail and the audit trail in the admin site."""

import asyncio
import re
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from starlette.types import ASGIApp
from support import execute, read_table

from bedplate.example.posts.models import Post
from bedplate.jobs import enqueue
from bedplate.jobs.tables import rows_for
from bedplate.main import Application
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.emails.tasks import send_email
from bedplate.modules.users.models import User, UserSession
from bedplate.testing.browser import Browser
from bedplate.testing.plugin import PASSWORD, MakeUser

SITE = "/admin/bedplate"


@pytest.fixture
def setting_overrides() -> dict[str, Any]:
    granted = {
        "editor": ["admin:enter", "posts:write_any", "posts:read_any"],
        "corrector": ["admin:enter", "posts:write_any"],
    }
    return {
        "roles": "user,editor,corrector,admin",
        "role_permissions": granted,
        "embedded_worker": False,  # jobs that wait are shown and discarded
    }


async def test_every_model_has_a_list_and_pages(
    admin_browser: Browser, other: User
) -> None:
    front = await admin_browser.open("/admin/")
    lists = set(re.findall(rf'href="({SITE}/\w+/)"', front.text))
    assert {"user", "session", "post", "auditevent", "job", "mail"} <= {
        address.split("/")[3] for address in lists
    }
    for address in lists:
        page = await admin_browser.open(address)
        assert page.status_code == 200, address
        for row in re.findall(rf'href="({address}[^"?]+/change/)', page.text)[:1]:
            assert (await admin_browser.open(row)).status_code == 200, row


async def test_every_figure_leads_to_the_rows_it_counts(
    app: Application, admin_browser: Browser
) -> None:
    await promise(app, "waiting@example.com")
    front = await admin_browser.open("/admin/")
    tiles = re.findall(
        r'<a href="([^"]+)"><strong>(\d+)</strong> ([\w ]+)</a>', front.text
    )

    assert ("1", "Jobs waiting") in [(count, label) for _, count, label in tiles]
    for url, count, label in tiles:
        listed = await admin_browser.open(unescape(url))
        assert "e=1" not in str(listed.url), label
        rows = listed.text.count('class="action-select"')
        assert rows == int(count), label


async def test_the_admin_shows_the_rows_that_the_api_shows(
    app: Application, browser: Browser, as_user: AsyncClient, make_user: MakeUser
) -> None:
    """`posts:write_any` without `posts:read_any`: a draft of another is a 404."""
    texts = {"title": "Secret plans", "content": "Of nobody else"}
    draft = (await as_user.post("/posts", json=texts)).json()["id"]
    await as_user.post("/posts", json={**texts, "title": "News", "publish": True})
    corrector = await make_user(email="c@example.com", role="corrector")
    before = await read_table(app, Post)

    await browser.sign_in(corrector.email, PASSWORD)
    front = await browser.open("/admin/")
    assert "<strong>1</strong> Posts" in front.text
    assert "<strong>0</strong> Drafts" in front.text
    for query in ({}, {"q": "Secret"}, {"published_at__isnull": "True"}):
        listed = await browser.open(f"{SITE}/post/", **query)
        assert listed.status_code == 200
        assert "Secret plans" not in listed.text
    assert "News" in (await browser.open(f"{SITE}/post/")).text
    for page in ("change", "delete", "history"):
        shown_page = await browser.open(f"{SITE}/post/{draft}/{page}/")
        assert "Secret plans" not in shown_page.text
        assert "Of nobody else" not in shown_page.text

    await browser.open("/admin/")
    form = browser.form()
    token = {"csrfmiddlewaretoken": form.fields["csrfmiddlewaretoken"]}
    for path, fields in (
        (f"{draft}/change/", {"title": "Mine", "content": "Mine"}),
        (f"{draft}/delete/", {"post": "yes"}),
        (f"{draft}/act/publish/", {}),
        ("", {"action": "publish", "_selected_action": draft}),
        ("", {"action": "delete_selected", "_selected_action": draft, "post": "yes"}),
    ):
        response = await browser.client.post(
            f"{SITE}/post/{path}",
            data={**token, **fields},
            headers={"Origin": "http://test"},
        )
        assert response.status_code in (302, 404), path
    assert await read_table(app, Post) == before


async def test_ending_a_session_signs_it_out(
    app: Application, admin_browser: Browser, user: User, as_user: AsyncClient
) -> None:
    theirs = next(
        row for row in await read_table(app, UserSession) if row.user_id == user.id
    )
    await admin_browser.open(f"{SITE}/session/{theirs.id}/change/")
    await admin_browser.submit("/act/end/")

    assert (await as_user.get("/users/me")).status_code == 401
    assert f"{SITE}/session/" in str(admin_browser.page.url)
    event = (await read_table(app, AuditEvent))[-1]
    assert (event.action, event.subject_id) == ("auth.sessions_revoked", user.id)


async def test_a_post_is_written_published_and_deleted(
    app: Application, admin_browser: Browser, admin: User, client: AsyncClient
) -> None:
    await admin_browser.open(f"{SITE}/post/add/")
    await admin_browser.submit(title=" A title ", content="Text", _continue="1")
    post = (await read_table(app, Post))[0]
    assert (post.title, post.author_id, post.published_at) == (
        "A title",
        admin.id,
        None,
    )

    await admin_browser.submit("/act/publish/")
    assert (await client.get(f"/posts/{post.id}")).status_code == 200
    assert "admin@example.com" in admin_browser.page.text  # its author, as a link

    await admin_browser.open(f"{SITE}/post/{post.id}/delete/")
    await admin_browser.submit()
    assert not await read_table(app, Post)


async def test_a_role_sees_what_it_is_permitted(
    browser: Browser, make_user: MakeUser
) -> None:
    editor = await make_user(email="editor@example.com", role="editor")
    await browser.sign_in(editor.email, PASSWORD)

    assert "Posts" in browser.page.text
    assert "Audit events" not in browser.page.text
    assert (await browser.open(f"{SITE}/post/add/")).status_code == 200
    for page in ("user/", f"user/{editor.id}/change/", "auditevent/", "job/"):
        assert (await browser.open(f"{SITE}/{page}")).status_code == 403, page


async def promise(app: Application, to: str) -> UUID:
    async with app.state.runtime.database.unit_of_work() as session:
        arguments: dict[str, Any] = {
            "template": "welcome",
            "to": to,
            "context": {"name": "N"},
        }
        return UUID(await enqueue(session, send_email, **arguments))


async def test_a_dead_job_is_tried_again_and_a_waiting_one_discarded(
    app: Application, admin_browser: Browser
) -> None:
    dead = await promise(app, "dead@example.com")
    waiting = await promise(app, "waiting@example.com")
    job, _, _ = rows_for(app.state.runtime.database.dialect.name)
    table = job.__table__.c
    lost = '{"name": "MailRefused", "message": "550 no such box"}'
    await execute(
        app,
        job.__table__.update()
        .where(table.workflow_uuid == dead)
        .values({table.status: "dead", table.error: lost}),
    )

    front = await admin_browser.open("/admin/")
    assert re.search(r'class="alarming">\s*<a href="[^"]+"><strong>1', front.text)
    listed = await admin_browser.open(f"{SITE}/mail/", status="dead")
    assert "dead@example.com" in listed.text
    assert "waiting@example.com" not in listed.text

    shown_page = await admin_browser.open(f"{SITE}/job/{dead}/change/")
    assert "MailRefused: 550 no such box" in shown_page.text
    await admin_browser.submit("/act/retry/")
    assert "Retry: send_email" in admin_browser.page.text

    await admin_browser.open(f"{SITE}/job/{waiting}/change/")
    await admin_browser.submit("/act/discard/")
    left = await admin_browser.open(f"{SITE}/mail/")
    assert "dead@example.com" in left.text
    assert "waiting@example.com" not in left.text


async def test_the_audit_trail_can_only_be_read(
    admin_browser: Browser, admin: User
) -> None:
    page = await admin_browser.open(f"{SITE}/auditevent/")
    row = re.findall(rf'href="({SITE}/auditevent/[^"]+/change/)', page.text)[0]

    shown_page = await admin_browser.open(row)
    assert "auth.signed_in" in shown_page.text
    assert ">admin@example.com</a>" in shown_page.text
    token = {"csrfmiddlewaretoken": admin_browser.client.cookies["bedplate_csrf"]}
    for address in (row, row.replace("change", "delete"), f"{SITE}/auditevent/add/"):
        response = await admin_browser.client.post(address, data=token)
        assert response.status_code == 403, address


async def test_an_accounts_history_is_its_audit_trail(
    admin_browser: Browser, admin: User, user: User
) -> None:
    await admin_browser.open(f"{SITE}/user/{user.id}/change/")
    await admin_browser.submit("/act/deactivate/")

    history = await admin_browser.open(f"{SITE}/user/{user.id}/history/")

    assert "user.deactivated" in history.text
    assert "auth.signed_in</td>" not in history.text


async def test_a_planted_write_by_djangos_orm_is_seen(
    with_admin: ASGIApp, user: User
) -> None:
    from bedplate.django_site.models import model_of
    from bedplate.testing.django_side import WrittenByDjango

    def plant() -> None:
        model_of(User).objects.filter(pk=user.id).update(name="Planted")

    with pytest.raises(WrittenByDjango):
        await asyncio.to_thread(plant)


async def test_no_list_sends_a_statement_for_each_row(
    app: Application, admin_browser: Browser, make_user: MakeUser
) -> None:
    """Compare the statements of every list before and after ten more rows."""

    async def count_all() -> dict[str, int]:
        return {
            name: await count_statements(admin_browser, f"{SITE}/{name}/")
            for name in ("user", "session", "auditevent", "mail", "post")
        }

    counts_before = await count_all()
    author = await make_user()
    for number in range(10):
        await make_user()
        await promise(app, f"{number}@example.com")
        async with app.state.runtime.database.unit_of_work() as session:
            values = {"title": f"{number}", "content": "Text", "author_id": author.id}
            session.add(Post(**values))
            session.add(AuditEvent(action="user.created", actor_id=author.id))
    counts_after = await count_all()

    assert counts_after == counts_before
    assert min(counts_after.values()) > 0
    assert max(counts_after.values()) <= 8, counts_after


async def count_statements(browser: Browser, path: str) -> int:
    from django.db.backends.signals import connection_created

    recorded: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        recorded.append(sql)
        return execute(sql, *rest)

    def listen(connection: Any, **_: Any) -> None:
        connection.execute_wrappers.append(count)

    connection_created.connect(listen)
    try:
        assert (await browser.open(path)).status_code == 200
    finally:
        connection_created.disconnect(listen)
    return len(recorded)

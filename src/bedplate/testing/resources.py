"""What holds for every resource, as a suite of tests to inherit.

class TestInvoices(ResourceContract):
    path = "/invoices"
    make_body = staticmethod(invoice_body)
    change = {"paid": True}

A resource belongs to the user who made it, nobody else knows of it, and admins may do
all. Where a resource of yours differs, override that test.
"""

from http import HTTPStatus
from itertools import count
from typing import Any, ClassVar

from httpx import AsyncClient

from bedplate.testing.assertions import assert_refused
from bedplate.testing.guards import blocking_calls_raise
from bedplate.testing.plugin import API, PASSWORD, MakeUser, SignIn, Statements

Body = dict[str, Any]

_numbers = count(1)


async def my_id(client: AsyncClient) -> str:
    """The id of the user that a client is signed in as."""
    return str((await client.get("/users/me")).json()["id"])


async def another_users_id(client: AsyncClient) -> str:
    """The id of a user who signs up now."""
    email = f"another{next(_numbers)}@example.com"
    body = {"email": email, "name": "Another", "password": PASSWORD}
    answer = await client.post("/users", json=body)
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    return str(answer.json()["id"])


class ResourceContract:
    """Made, read, changed, removed and listed by those who may, and by nobody else."""

    path: ClassVar[str]
    """Below `/api/v1`, as `/invoices`."""
    change: ClassVar[Body]
    """What PATCH takes, and what changes the resource."""

    @staticmethod
    async def make_body(client: AsyncClient) -> Body:
        """What POST takes, another each time; the client is signed in."""
        raise NotImplementedError

    async def make(self, client: AsyncClient, **headers: str) -> Body:
        body = await self.make_body(client)
        answer = await client.post(self.path, json=body, headers=headers)
        assert answer.status_code == HTTPStatus.CREATED, answer.text
        made: Body = answer.json()
        return made

    def place(self, made: Body) -> str:
        return f"{self.path}/{made['id']}"

    async def test_what_was_made_is_read_and_listed(self, as_user: AsyncClient) -> None:
        body = await self.make_body(as_user)
        answer = await as_user.post(self.path, json=body)
        made = answer.json()
        read = await as_user.get(self.place(made))
        listed = await as_user.get(self.path)

        assert answer.headers["location"] == f"{API}{self.place(made)}".removeprefix(
            "http://test"
        )
        assert made.items() >= body.items()
        assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
        assert listed.json()["items"] == [made]
        assert listed.json()["total"] == 1

    async def test_a_change_is_kept(self, as_user: AsyncClient) -> None:
        made = await self.make(as_user)

        changed = await as_user.patch(self.place(made), json=self.change)
        nothing = await as_user.patch(self.place(made), json={})
        read = await as_user.get(self.place(made))

        expected = {**made, **self.change, "updated_at": read.json()["updated_at"]}
        assert changed.json() == nothing.json() == read.json() == expected
        assert read.json()["updated_at"] > made["updated_at"]

    async def test_what_was_removed_is_gone(self, as_user: AsyncClient) -> None:
        made = await self.make(as_user)

        removed = await as_user.delete(self.place(made))

        assert (removed.status_code, removed.content) == (HTTPStatus.NO_CONTENT, b"")
        for answer in (
            await as_user.get(self.place(made)),
            await as_user.patch(self.place(made), json=self.change),
            await as_user.delete(self.place(made)),
        ):
            assert_refused(answer, 404, "NOT_FOUND")
        assert (await as_user.get(self.path)).json()["items"] == []

    async def test_a_stranger_is_refused(
        self, client: AsyncClient, as_user: AsyncClient
    ) -> None:
        made = await self.make(as_user)
        body = await self.make_body(as_user)

        for answer in (
            await client.get(self.path),
            await client.post(self.path, json=body),
            await client.get(self.place(made)),
            await client.patch(self.place(made), json=self.change),
            await client.delete(self.place(made)),
        ):
            assert_refused(answer, 401, "UNAUTHENTICATED")
        assert (await as_user.get(self.path)).json()["items"] == [made]

    async def test_another_user_does_not_know_of_it(
        self, as_user: AsyncClient, make_user: MakeUser, sign_in: SignIn
    ) -> None:
        made = await self.make(as_user)
        as_other = await sign_in((await make_user()).id)

        for answer in (
            await as_other.get(self.place(made)),
            await as_other.patch(self.place(made), json=self.change),
            await as_other.delete(self.place(made)),
        ):
            assert_refused(answer, 404, "NOT_FOUND")
        assert (await as_other.get(self.path)).json()["items"] == []
        assert (await as_user.get(self.place(made))).json() == made

    async def test_an_admin_may_do_it_all(
        self, as_user: AsyncClient, as_admin: AsyncClient
    ) -> None:
        made = await self.make(as_user)

        read = await as_admin.get(self.place(made))
        listed = await as_admin.get(self.path)
        changed = await as_admin.patch(self.place(made), json=self.change)
        removed = await as_admin.delete(self.place(made))

        assert (read.json(), listed.json()["items"]) == (made, [made])
        assert changed.json().items() >= self.change.items()
        assert removed.status_code == HTTPStatus.NO_CONTENT

    async def test_pages_and_cursors_show_each_once_the_newest_first(
        self, as_user: AsyncClient
    ) -> None:
        made = [await self.make(as_user) for _ in range(3)]
        newest = made[::-1]

        first = await self._page(as_user, page=1)
        last = await self._page(as_user, page=2)
        start = await self._page(as_user, cursor="")
        end = await self._page(as_user, cursor=start["next_cursor"])

        assert (first["items"], last["items"]) == (newest[:2], newest[2:])
        assert (first["total"], first["pages"], last["next_cursor"]) == (3, 2, None)
        assert (start["items"], end["items"]) == (newest[:2], newest[2:])
        assert (start["total"], end["next_cursor"]) == (None, None)

    async def _page(self, client: AsyncClient, **params: Any) -> Body:
        answer = await client.get(self.path, params={"limit": 2, **params})
        assert answer.status_code == HTTPStatus.OK, answer.text
        page: Body = answer.json()
        return page

    async def test_a_list_asks_no_more_for_more_rows(
        self, as_user: AsyncClient, statements: Statements
    ) -> None:
        await self.make(as_user)
        with statements() as few:
            await as_user.get(self.path)
        for _ in range(3):
            await self.make(as_user)
        with statements() as many:
            await as_user.get(self.path)

        assert many == few
        assert few

    async def test_nothing_holds_up_the_event_loop(self, as_user: AsyncClient) -> None:
        body = await self.make_body(as_user)
        made = await self.make(as_user)

        with blocking_calls_raise():
            answers = [
                await as_user.get(self.path),
                await as_user.post(self.path, json=body),
                await as_user.get(self.place(made)),
                await as_user.patch(self.place(made), json=self.change),
                await as_user.delete(self.place(made)),
            ]

        assert [answer.status_code for answer in answers] == [200, 201, 200, 200, 204]

    async def test_what_has_changed_meanwhile_is_not_overwritten(
        self, as_user: AsyncClient
    ) -> None:
        made = await self.make(as_user)
        read = await as_user.get(self.place(made))
        seen = {"If-Match": read.headers["etag"]}

        unchanged = await as_user.get(
            self.place(made), headers={"If-None-Match": read.headers["etag"]}
        )
        first = await as_user.patch(self.place(made), json=self.change, headers=seen)
        again = await as_user.patch(self.place(made), json=self.change, headers=seen)
        removed = await as_user.delete(self.place(made), headers=seen)

        assert unchanged.status_code == HTTPStatus.NOT_MODIFIED
        assert first.status_code == HTTPStatus.OK, first.text
        assert_refused(again, 412, "PRECONDITION_FAILED")
        assert_refused(removed, 412, "PRECONDITION_FAILED")

    async def test_a_repeat_with_the_same_key_makes_one(
        self, as_user: AsyncClient
    ) -> None:
        body = await self.make_body(as_user)
        key = {"Idempotency-Key": "one"}

        first = await as_user.post(self.path, json=body, headers=key)
        again = await as_user.post(self.path, json=body, headers=key)

        assert (again.status_code, again.json()) == (HTTPStatus.CREATED, first.json())
        assert (await as_user.get(self.path)).json()["total"] == 1

    async def test_what_is_unknown_or_missing_is_refused(
        self, as_user: AsyncClient
    ) -> None:
        body = await self.make_body(as_user)
        made = await self.make(as_user)
        unknown = {"unknown": 1}

        for field in body:
            less = {name: value for name, value in body.items() if name != field}
            answer = await as_user.post(self.path, json=less)
            assert_refused(answer, 422, "VALIDATION_ERROR", f"body.{field}")
        for answer, field in (
            (await as_user.post(self.path, json={**body, **unknown}), "body.unknown"),
            (await as_user.patch(self.place(made), json=unknown), "body.unknown"),
            (await as_user.get(self.path, params=unknown), "query.unknown"),
        ):
            assert_refused(answer, 422, "VALIDATION_ERROR", field)
        assert (await as_user.get(self.path)).json()["items"] == [made]

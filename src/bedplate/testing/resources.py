"""Tests that every resource must pass, to inherit from.

class TestInvoices(ResourceContract):
    path = "/invoices"
    make_body = staticmethod(invoice_body)
    change = {"paid": True}

They assume that a resource belongs to the user who created it, that other users can't
see it, and that admins may do everything. If your resource differs, override the test.
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
    """Return the id of the user that a client is signed in as."""
    return str((await client.get("/users/me")).json()["id"])


async def another_users_id(client: AsyncClient) -> str:
    """Sign up a new user, and return the id."""
    email = f"another{next(_numbers)}@example.com"
    body = {"email": email, "name": "Another", "password": PASSWORD}
    response = await client.post("/users", json=body)
    assert response.status_code == HTTPStatus.CREATED, response.text
    return str(response.json()["id"])


class ResourceContract:
    """Tests of a resource's operations, as its owner, as others and as an admin."""

    path: ClassVar[str]
    """The path below `/api/v1`, such as `/invoices`."""
    change: ClassVar[Body]
    """A body for PATCH that changes the resource."""

    @staticmethod
    async def make_body(client: AsyncClient) -> Body:
        """Return a new body for POST on each call. The client is signed in."""
        raise NotImplementedError

    async def make(self, client: AsyncClient, **headers: str) -> Body:
        body = await self.make_body(client)
        response = await client.post(self.path, json=body, headers=headers)
        assert response.status_code == HTTPStatus.CREATED, response.text
        created: Body = response.json()
        return created

    def place(self, created: Body) -> str:
        return f"{self.path}/{created['id']}"

    async def test_what_was_made_is_read_and_listed(self, as_user: AsyncClient) -> None:
        body = await self.make_body(as_user)
        response = await as_user.post(self.path, json=body)
        created = response.json()
        read = await as_user.get(self.place(created))
        listing = await as_user.get(self.path)

        assert response.headers[
            "location"
        ] == f"{API}{self.place(created)}".removeprefix("http://test")
        assert created.items() >= body.items()
        assert (read.json(), read.headers["etag"]) == (
            created,
            response.headers["etag"],
        )
        assert listing.json()["items"] == [created]
        assert listing.json()["total"] == 1

    async def test_a_change_is_kept(self, as_user: AsyncClient) -> None:
        created = await self.make(as_user)

        changed = await as_user.patch(self.place(created), json=self.change)
        unchanged = await as_user.patch(self.place(created), json={})
        read = await as_user.get(self.place(created))

        expected = {**created, **self.change, "updated_at": read.json()["updated_at"]}
        assert changed.json() == unchanged.json() == read.json() == expected
        assert read.json()["updated_at"] > created["updated_at"]

    async def test_what_was_removed_is_gone(self, as_user: AsyncClient) -> None:
        created = await self.make(as_user)

        deleted = await as_user.delete(self.place(created))

        assert (deleted.status_code, deleted.content) == (HTTPStatus.NO_CONTENT, b"")
        for response in (
            await as_user.get(self.place(created)),
            await as_user.patch(self.place(created), json=self.change),
            await as_user.delete(self.place(created)),
        ):
            assert_refused(response, 404, "NOT_FOUND")
        assert (await as_user.get(self.path)).json()["items"] == []

    async def test_a_stranger_is_refused(
        self, client: AsyncClient, as_user: AsyncClient
    ) -> None:
        created = await self.make(as_user)
        body = await self.make_body(as_user)

        for response in (
            await client.get(self.path),
            await client.post(self.path, json=body),
            await client.get(self.place(created)),
            await client.patch(self.place(created), json=self.change),
            await client.delete(self.place(created)),
        ):
            assert_refused(response, 401, "UNAUTHENTICATED")
        assert (await as_user.get(self.path)).json()["items"] == [created]

    async def test_another_user_does_not_know_of_it(
        self, as_user: AsyncClient, make_user: MakeUser, sign_in: SignIn
    ) -> None:
        created = await self.make(as_user)
        as_other = await sign_in((await make_user()).id)

        for response in (
            await as_other.get(self.place(created)),
            await as_other.patch(self.place(created), json=self.change),
            await as_other.delete(self.place(created)),
        ):
            assert_refused(response, 404, "NOT_FOUND")
        assert (await as_other.get(self.path)).json()["items"] == []
        assert (await as_user.get(self.place(created))).json() == created

    async def test_an_admin_may_do_it_all(
        self, as_user: AsyncClient, as_admin: AsyncClient
    ) -> None:
        created = await self.make(as_user)

        read = await as_admin.get(self.place(created))
        listing = await as_admin.get(self.path)
        changed = await as_admin.patch(self.place(created), json=self.change)
        deleted = await as_admin.delete(self.place(created))

        assert (read.json(), listing.json()["items"]) == (created, [created])
        assert changed.json().items() >= self.change.items()
        assert deleted.status_code == HTTPStatus.NO_CONTENT

    async def test_pages_and_cursors_show_each_once_the_newest_first(
        self, as_user: AsyncClient
    ) -> None:
        created = [await self.make(as_user) for _ in range(3)]
        newest = created[::-1]

        first = await self._page(as_user, page=1)
        last = await self._page(as_user, page=2)
        start = await self._page(as_user, cursor="")
        end = await self._page(as_user, cursor=start["next_cursor"])

        assert (first["items"], last["items"]) == (newest[:2], newest[2:])
        assert (first["total"], first["pages"], last["next_cursor"]) == (3, 2, None)
        assert (start["items"], end["items"]) == (newest[:2], newest[2:])
        assert (start["total"], end["next_cursor"]) == (None, None)

    async def _page(self, client: AsyncClient, **params: Any) -> Body:
        response = await client.get(self.path, params={"limit": 2, **params})
        assert response.status_code == HTTPStatus.OK, response.text
        page: Body = response.json()
        return page

    async def test_a_list_asks_no_more_for_more_rows(
        self, as_user: AsyncClient, statements: Statements
    ) -> None:
        await self.make(as_user)
        with statements() as statements_before:
            await as_user.get(self.path)
        for _ in range(3):
            await self.make(as_user)
        with statements() as statements_after:
            await as_user.get(self.path)

        assert statements_after == statements_before
        assert statements_before

    async def test_nothing_holds_up_the_event_loop(self, as_user: AsyncClient) -> None:
        body = await self.make_body(as_user)
        created = await self.make(as_user)

        with blocking_calls_raise():
            responses = [
                await as_user.get(self.path),
                await as_user.post(self.path, json=body),
                await as_user.get(self.place(created)),
                await as_user.patch(self.place(created), json=self.change),
                await as_user.delete(self.place(created)),
            ]

        assert [response.status_code for response in responses] == [
            200,
            201,
            200,
            200,
            204,
        ]

    async def test_what_has_changed_meanwhile_is_not_overwritten(
        self, as_user: AsyncClient
    ) -> None:
        created = await self.make(as_user)
        read = await as_user.get(self.place(created))
        if_match = {"If-Match": read.headers["etag"]}

        unchanged = await as_user.get(
            self.place(created), headers={"If-None-Match": read.headers["etag"]}
        )
        first = await as_user.patch(
            self.place(created), json=self.change, headers=if_match
        )
        again = await as_user.patch(
            self.place(created), json=self.change, headers=if_match
        )
        deleted = await as_user.delete(self.place(created), headers=if_match)

        assert unchanged.status_code == HTTPStatus.NOT_MODIFIED
        assert first.status_code == HTTPStatus.OK, first.text
        assert_refused(again, 412, "PRECONDITION_FAILED")
        assert_refused(deleted, 412, "PRECONDITION_FAILED")

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
        created = await self.make(as_user)
        unknown = {"unknown": 1}

        for field in body:
            incomplete = {name: value for name, value in body.items() if name != field}
            response = await as_user.post(self.path, json=incomplete)
            assert_refused(response, 422, "VALIDATION_ERROR", f"body.{field}")
        for response, field in (
            (await as_user.post(self.path, json={**body, **unknown}), "body.unknown"),
            (await as_user.patch(self.place(created), json=unknown), "body.unknown"),
            (await as_user.get(self.path, params=unknown), "query.unknown"),
        ):
            assert_refused(response, 422, "VALIDATION_ERROR", field)
        assert (await as_user.get(self.path)).json()["items"] == [created]

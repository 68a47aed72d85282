"""Every list: page and cursor mode, order, filters and search."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from httpx import AsyncClient
from support import Snapshot, read_table

from bedplate.main import Application
from bedplate.modules.users.models import User
from bedplate.testing.assertions import assert_refused
from bedplate.testing.plugin import MakeUser

SORTS = ["created_at", "-created_at", "email", "-email", "name", "-name"]


@pytest_asyncio.fixture
async def crowd(make_user: MakeUser, app: Application) -> list[Any]:
    """Eleven accounts, some of one name and all but two of one moment."""
    first = await make_user(email="z0@example.com", name="Tie")
    for number in range(1, 10):
        await make_user(
            email=f"{'zyx'[number % 3]}{number}@example.com",
            name=["Tie", "tie", "Ütie"][number % 3],
            role=["user", "admin"][number % 2],
            is_active=number < 7,
            created_at=first.created_at,
        )
    return list(await read_table(app, User))


async def walk(client: AsyncClient, **params: Any) -> list[dict[str, Any]]:
    """Every row that a client sees, following the cursor from the start."""
    cursor, rows = "", list[dict[str, Any]]()
    while cursor is not None:
        answer = await client.get("/users", params={**params, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert (page["total"], page["page"], page["pages"]) == (None, None, None)
        assert page["items"], "an empty page beyond the end"
        assert len(page["items"]) <= page["limit"]
        rows += page["items"]
        cursor = page["next_cursor"]
    return rows


async def leaf_through(client: AsyncClient, **params: Any) -> list[dict[str, Any]]:
    """Return the same rows, page by page."""
    number, rows = 1, list[dict[str, Any]]()
    while True:
        answer = await client.get("/users", params={**params, "page": number})
        page = answer.json()
        if not page["items"]:
            return rows
        rows += page["items"]
        number += 1


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


async def test_an_empty_list_has_the_shape_of_any(as_admin: AsyncClient) -> None:
    answer = await as_admin.get("/users", params={"q": "nobody"})

    assert answer.json() == {
        "items": [],
        "total": 0,
        "page": 1,
        "limit": 20,
        "pages": 0,
        "next_cursor": None,
    }


async def test_an_item_is_what_its_own_address_answers(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    items = (await as_admin.get("/users")).json()["items"]

    for item in items[:3]:
        assert item == (await as_admin.get(f"/users/{item['id']}")).json()


async def test_totals_and_pages_are_exact(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    total = len(crowd)
    for limit in (1, 3, total - 1, total, total + 1, 100):
        answer = await as_admin.get("/users", params={"limit": limit})
        page = answer.json()

        assert (page["total"], page["limit"], page["page"]) == (total, limit, 1)
        assert page["pages"] == -(-total // limit)
        assert len(page["items"]) == min(limit, total)
        assert (page["next_cursor"] is None) is (limit >= total)


@pytest.mark.parametrize("page", [3, 50, 2**31 - 1])
async def test_a_page_past_the_end_is_empty_and_counts_all_the_same(
    as_admin: AsyncClient, crowd: list[Any], page: int
) -> None:
    answer = await as_admin.get("/users", params={"page": page, "limit": 10})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["items"], body["next_cursor"]) == ([], None)
    assert (body["total"], body["page"], body["pages"]) == (len(crowd), page, 2)


async def test_the_newest_come_first_by_default(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    default = (await as_admin.get("/users")).json()["items"]
    explicit = await as_admin.get("/users", params={"sort": "-created_at"})

    assert default == explicit.json()["items"]
    keys = [(item["created_at"], item["id"]) for item in default]
    assert keys == sorted(keys, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
async def test_both_modes_show_each_row_once_and_in_one_order(
    as_admin: AsyncClient, crowd: list[Any], sort: str
) -> None:
    everything = (
        await as_admin.get("/users", params={"sort": sort, "limit": 100})
    ).json()
    expected = ids(everything["items"])

    assert sorted(expected) == sorted(str(user.id) for user in crowd)
    for limit in (1, 2, 5, 11):
        assert ids(await walk(as_admin, sort=sort, limit=limit)) == expected
    assert ids(await leaf_through(as_admin, sort=sort, limit=4)) == expected


@pytest.mark.parametrize("name", ["created_at", "email", "name"])
async def test_descending_is_ascending_backwards(
    as_admin: AsyncClient, crowd: list[Any], name: str
) -> None:
    up = (await as_admin.get("/users", params={"sort": name})).json()["items"]
    down = (await as_admin.get("/users", params={"sort": f"-{name}"})).json()["items"]

    assert ids(up) == ids(down)[::-1]
    ties = [item["id"] for item in up if item["name"] == "Tie"]
    if name == "name":
        assert ties == sorted(ties)


async def test_a_client_switches_from_pages_to_the_cursor(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    params: dict[str, Any] = {"sort": "name", "limit": 4}
    first = (await as_admin.get("/users", params=params)).json()
    second = (await as_admin.get("/users", params={**params, "page": 2})).json()
    cursor = {**params, "cursor": first["next_cursor"]}

    assert (await as_admin.get("/users", params=cursor)).json()["items"] == second[
        "items"
    ]


async def test_a_row_made_meanwhile_moves_no_row_of_the_walk(
    as_admin: AsyncClient, crowd: list[Any], make_user: MakeUser
) -> None:
    first = await as_admin.get("/users", params={"cursor": "", "limit": 5})
    await make_user(email="late@example.com")
    cursor = first.json()["next_cursor"]
    rest = await as_admin.get("/users", params={"cursor": cursor, "limit": 100})

    seen = ids(first.json()["items"]) + ids(rest.json()["items"])
    assert sorted(seen) == sorted(str(user.id) for user in crowd)


async def test_a_cursor_keeps_to_its_filters(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    expected = {str(user.id) for user in crowd if user.role == "user"}

    assert set(ids(await walk(as_admin, role="user", limit=2))) == expected


async def test_a_cursor_is_of_one_order(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    for sort in SORTS:
        params: dict[str, Any] = {"sort": sort, "limit": 2}
        cursor = (await as_admin.get("/users", params=params)).json()["next_cursor"]
        for other in set(SORTS) - {sort}:
            answer = await as_admin.get(
                "/users", params={"sort": other, "cursor": cursor}
            )
            assert_refused(answer, 400, "INVALID_CURSOR")


async def test_a_cursor_that_was_tampered_with_is_refused(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    params: dict[str, Any] = {"sort": "email", "limit": 2}
    cursor: str = (await as_admin.get("/users", params=params)).json()["next_cursor"]
    forged = [
        "x",
        cursor[:-1],
        cursor + "A",
        cursor[1:],
        cursor * 2,
        *("!", "a b", "é\x00", "x" * 2049, "a=", "\x00", "ü" * 100, "😀"),
        cursor.swapcase(),
        base64.urlsafe_b64encode(b'["email","a",null]').decode().rstrip("="),
        base64.urlsafe_b64encode(b"0" * 16 + b'["email","a","x"]').decode().rstrip("="),
        *(
            f"{cursor[:i]}{'A' if cursor[i] != 'A' else 'B'}{cursor[i + 1 :]}"
            for i in range(0, len(cursor), 5)
        ),
    ]
    for bad in forged:
        answer = await as_admin.get("/users", params={"sort": "email", "cursor": bad})
        assert_refused(answer, 400, "INVALID_CURSOR")


FILTERS: list[tuple[dict[str, str], Callable[[Any], bool]]] = [
    ({"role": "admin"}, lambda u: u.role == "admin"),
    ({"role": "user"}, lambda u: u.role == "user"),
    ({"is_active": "true"}, lambda u: u.is_active),
    ({"is_active": "false"}, lambda u: not u.is_active),
    (
        {"role": "admin", "is_active": "false"},
        lambda u: u.role == "admin" and not u.is_active,
    ),
    (
        {"q": "tie", "role": "user"},
        lambda u: "tie" in u.name.lower() and u.role == "user",
    ),
]


async def test_filters_narrow_rows_and_total(
    as_admin: AsyncClient, crowd: list[Any]
) -> None:
    for params, keep in FILTERS:
        page = (await as_admin.get("/users", params=params)).json()
        expected = sorted(str(user.id) for user in crowd if keep(user))

        assert expected, "the filter is not tried by an empty answer"
        assert sorted(ids(page["items"])) == expected
        assert page["total"] == len(expected)


SEARCHED = {
    "percent": "100% sure",
    "underscore": "snake_case",
    "backslash": "back\\slash",
    "both": "a\\%b_",
    "quote": 'O\'Brien "Bob"',
    "umlaut": "JÜRGEN Öztürk",
    "cyrillic": "Жанна",
    "greek": "ΑΘΗΝΑ",
    "accent": "ÉLAN",
    "sharp": "Straße",
    "emoji": "Smile 😀",
    "plain": "Plain Jane",
}


@pytest_asyncio.fixture
async def searched(make_user: MakeUser) -> None:
    for key, name in SEARCHED.items():
        await make_user(email=f"{key}@example.com", name=name)


async def matches(client: AsyncClient, q: str) -> set[str]:
    page = (await client.get("/users", params={"q": q, "limit": 100})).json()
    assert page["total"] == len(page["items"])
    return {item["email"].partition("@")[0] for item in page["items"]} & {*SEARCHED}


@pytest.mark.usefixtures("searched")
async def test_search_takes_like_s_characters_literally(as_admin: AsyncClient) -> None:
    assert await matches(as_admin, "%") == {"percent", "both"}
    assert await matches(as_admin, "_") == {"underscore", "both"}
    assert await matches(as_admin, "\\") == {"backslash", "both"}
    assert await matches(as_admin, "\\%") == {"both"}
    assert await matches(as_admin, "s%e") == set()
    assert await matches(as_admin, "snake-case") == set()
    assert await matches(as_admin, "'") == {"quote"}
    assert await matches(as_admin, '"bob"') == {"quote"}


@pytest.mark.usefixtures("searched")
async def test_search_knows_no_case_in_any_script(as_admin: AsyncClient) -> None:
    for q, key in [
        ("PLAIN", "plain"),
        ("plain JANE", "plain"),
        ("jürgen", "umlaut"),
        ("JÜRGEN", "umlaut"),
        ("ÖZTÜRK", "umlaut"),
        ("öztürk", "umlaut"),
        ("ЖАННА", "cyrillic"),
        ("жанна", "cyrillic"),
        ("αθην", "greek"),
        ("élan", "accent"),
        ("straße", "sharp"),
        ("😀", "emoji"),
    ]:
        assert await matches(as_admin, q) == {key}, q


@pytest.mark.usefixtures("searched")
async def test_search_looks_into_the_middle_of_email_and_name(
    as_admin: AsyncClient,
) -> None:
    assert await matches(as_admin, "mlau") == {"umlaut"}
    assert await matches(as_admin, "@EXAMPLE.com") == {*SEARCHED}
    assert await matches(as_admin, "ain ja") == {"plain"}
    assert await matches(as_admin, "") == {*SEARCHED}
    assert await matches(as_admin, "$argon2id") == set()


WRONG_QUERIES = {
    "page": ["0", "-1", "1.5", "x", "", "1e3", "٣", str(2**31), "9" * 5000, "\x00"],
    "limit": ["0", "-1", "101", "x", "", "null", "9" * 5000],
    "sort": [
        "id",
        "",
        "-",
        "password",
        "Email",
        "email,name",
        "+email",
        "hashed_password",
    ],
    "role": ["", "emperor", "Admin", "x" * 51, "\x00", "é"],
    "is_active": ["", "2", "maybe", "null", "\x00"],
    "q": ["x" * 201, "\x00", "a\x00b"],
    "unknown": ["1", ""],
    "Page": ["1"],
    "page[]": ["1"],
}


@pytest.mark.parametrize("name", WRONG_QUERIES)
async def test_a_wrong_query_parameter_is_refused_by_its_name(
    as_admin: AsyncClient, snapshot: Snapshot, name: str
) -> None:
    for value in WRONG_QUERIES[name]:
        answer = await as_admin.get("/users", params={name: value})

        assert_refused(answer, 422, "VALIDATION_ERROR", f"query.{name}")
        assert "x" * 40 not in answer.text
        assert "9" * 40 not in answer.text


async def test_page_and_cursor_together_are_refused(as_admin: AsyncClient) -> None:
    answer = await as_admin.get("/users", params={"page": 1, "cursor": ""})

    assert_refused(answer, 422, "VALIDATION_ERROR", "query")


async def test_several_wrong_parameters_are_all_named(as_admin: AsyncClient) -> None:
    answer = await as_admin.get("/users?page=0&limit=0&sort=x&nope=1")

    fields = ["query.page", "query.limit", "query.sort", "query.nope"]
    assert answer.status_code == 422
    assert sorted(d["field"] for d in answer.json()["error"]["details"]) == sorted(
        fields
    )


async def test_odd_queries_find_nobody(as_admin: AsyncClient, admin: User) -> None:
    for raw in ("q=%ff", "q=%ED%A0%80", "q=%F0%9F%98%81", "q=%25%27--", "q=%E2%80%AE"):
        answer = await as_admin.get(f"/users?{raw}")
        assert (answer.status_code, answer.json()["total"]) == (200, 0), raw

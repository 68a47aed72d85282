"""A SELECT is derived from the response, and a list from its parameters."""

from typing import Any, Literal
from uuid import UUID

import pytest
from sqlalchemy import func, select

from bedplate.caller import Account
from bedplate.database import ListQuery, columns_of
from bedplate.example.posts.models import Post
from bedplate.example.posts.schemas import PostResponse
from bedplate.modules.users.models import User
from bedplate.modules.users.schemas import UserResponse
from bedplate.schemas import ListParams, Page, ResponseSchema


class Counted(ResponseSchema, frozen=True):
    id: UUID
    name: str
    posts: int


class Chain(ResponseSchema, frozen=True):
    id: UUID
    post: PostResponse


def names(columns: list[Any]) -> list[str | None]:
    return [column.key for column in select(*columns).selected_columns]


def test_each_field_takes_the_attribute_of_its_name() -> None:
    assert names(columns_of(UserResponse, User)) == list(Account.__struct_fields__)


def test_a_nested_struct_takes_the_model_passed_for_it() -> None:
    columns = names(columns_of(PostResponse, Post, author=User))

    assert columns[:5] == ["id", "title", "content", "author_id", "author_name"]


def test_a_deeper_struct_takes_the_model_passed_by_its_path() -> None:
    columns = names(columns_of(Chain, Post, post=Post, post_author=User))

    assert columns[:2] == ["id", "post_id"]
    assert "post_author_name" in columns


def test_an_expression_fills_a_field_that_is_not_an_attribute() -> None:
    columns = columns_of(Counted, User, posts=func.count(Post.id))

    assert names(columns) == ["id", "name", "posts"]


@pytest.mark.parametrize(
    ("row", "sources", "message"),
    [
        (Counted, {}, "Counted.posts has no column: User has no attribute"),
        (Chain, {}, "Chain.post is a struct: pass the model that fills it, post="),
        (Counted, {"posts": User.id, "post": User.id}, "Counted has no field for post"),
    ],
)
def test_the_error_names_a_field_or_source_that_does_not_match(
    row: Any, sources: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        columns_of(row, User, **sources)


class ByName(ListParams):
    sort: Literal["name", "-name"] = "name"


class ByNobody(ListParams):
    sort: Literal["nobody", "-nobody"] = "nobody"


class OneWay(ListParams):
    sort: Literal["name"] = "name"


class Filtered(ByName):
    role: str | None = None
    country: str | None = None


class Searched(ByName):
    q: str | None = None


USERS = select(*columns_of(UserResponse, User))


def test_a_list_derives_its_columns_from_the_parameters() -> None:
    query = ListQuery(
        USERS, Page[UserResponse], Filtered, filters={"country": User.name}
    )

    assert dict(query.sort) == {"name": User.name}
    assert query.filters == {"role": User.role, "country": User.name}


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        (ByNobody, {}, "ByNobody: User has no column 'nobody'"),
        (OneWay, {}, "OneWay.sort must be a Literal of"),
        (Filtered, {}, "Filtered: User has no column 'country'"),
        (ByName, {"filters": {"role": User.role}}, "ByName has no parameter for"),
        (Searched, {}, "Searched declares `q` if and only if"),
        (ByName, {"search": [User.name]}, "ByName declares `q` if and only if"),
    ],
)
def test_parameters_that_do_not_match_are_refused(
    params: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        ListQuery(USERS, Page[UserResponse], params, **options)


def test_a_list_without_an_id_is_refused() -> None:
    with pytest.raises(TypeError, match="a list must select the `id` of its model"):
        ListQuery(select(User.name), Page[UserResponse], ByName)

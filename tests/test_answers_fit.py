"""An endpoint whose answer can't fill its response model stops the start."""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Optional, TypedDict

import pytest
from pydantic import BaseModel

from bedplate import ResponseSchema, Router
from bedplate.caller import Caller
from bedplate.modules.users.models import User
from bedplate.modules.users.schemas import UserResponse


class Shown(ResponseSchema, frozen=True):
    name: str
    size: int


class Nameless(NamedTuple):
    size: int


@dataclass
class Data:
    name: str
    size: int


class Model(BaseModel):
    name: str
    size: int


class Property:
    name = "a"

    @property
    def size(self) -> int:
        return 1


class Mapping(TypedDict):
    name: str


def add_route(answer: Any, response_model: Any) -> None:
    async def endpoint() -> Any: ...

    endpoint.__annotations__["return"] = answer
    Router().get("/planted", response_model=response_model)(endpoint)


UNDECIDED = [
    Mapping,
    Any,
    object,
    None,
    Data | None,
    Optional[Data],  # noqa: UP045, the other kind of union
    Annotated[Data, 1],
]


@pytest.mark.parametrize("answer", [Shown, Data, Model, Property, *UNDECIDED])
def test_an_answer_with_every_field_is_accepted(answer: Any) -> None:
    add_route(answer, Shown)


@pytest.mark.parametrize("answer", [Caller, User])
def test_what_the_account_operations_return_fits(answer: Any) -> None:
    add_route(answer, UserResponse)


@pytest.mark.parametrize(
    ("answer", "missing"), [(Nameless, "name"), (Caller, "size"), (int, "name, size")]
)
def test_an_answer_without_a_field_is_refused_and_named(
    answer: Any, missing: str
) -> None:
    message = f"returns {answer.__name__}, which has no {missing} for its response"

    with pytest.raises(TypeError, match=message):
        add_route(answer, Shown)

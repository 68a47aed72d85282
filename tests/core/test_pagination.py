from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.core.errors import InvalidCursor
from bedplate.core.pagination import Cursors, Position, page_count

cursors = Cursors(b"k" * 32)

sorts = st.sampled_from(["name", "-name", "created_at", "-created_at"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
instants = st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 1))  # noqa: DTZ001
values = st.one_of(
    st.tuples(st.just(str), texts),
    st.tuples(st.just(datetime), instants),
    st.tuples(st.just(int), st.integers(-(2**63), 2**63 - 1)),
)


@given(sort=sorts, typed=values, id_=st.uuids())
def test_a_cursor_returns_the_position_that_was_written(
    sort: str, typed: tuple[Any, Any], id_: UUID
) -> None:
    value_type, value = typed
    cursor = cursors.write(sort, Position(value, id_))

    assert cursors.read(sort, cursor, value_type) == Position(value, id_)
    assert cursor == Cursors(b"k" * 32).write(sort, Position(value, id_))
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(texts, st.uuids(), st.data())
def test_a_cursor_with_any_character_changed_is_refused(
    value: str, id_: UUID, data: st.DataObject
) -> None:
    cursor = cursors.write("name", Position(value, id_))
    index = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(
        st.sampled_from("ABCabc019-_=+/ é\x00").filter(lambda c: c != cursor[index])
    )

    with pytest.raises(InvalidCursor):
        cursors.read("name", cursor[:index] + character + cursor[index + 1 :], str)


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.read("name", text, str)


def test_a_cursor_is_of_one_sort_one_key_and_one_type() -> None:
    cursor = cursors.write("name", Position("Ann", UUID(int=7)))

    for reader, sort, value_type in [
        (cursors, "-name", str),
        (Cursors(b"x" * 32), "name", str),
        (cursors, "name", datetime),
    ]:
        with pytest.raises(InvalidCursor):
            reader.read(sort, cursor, value_type)


@given(st.integers(0, 10**6), st.integers(1, 100))
def test_the_pages_contain_all_rows_and_no_page_is_empty(
    total: int, limit: int
) -> None:
    pages = page_count(total, limit)

    assert pages * limit >= total
    assert (pages - 1) * limit < total or pages == 0

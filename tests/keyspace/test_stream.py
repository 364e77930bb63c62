"""Streams beside a twin that keeps one list; ids as redis-server reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import CommandError
from cluster.keyspace.stream import Entry, Items, StreamValue
from cluster.keyspace.stream_id import MAX_ID, PART_MAX, id_text, make_id, parse_bound, parse_id, parse_new_id

IDS = st.integers(0, 60)
CONTENTS: st.SearchStrategy[Items] = st.sampled_from([
    (b"f", b"v"), (b"f", b"w"), (b"a", b"1", b"b", b"2"), (b"f", b"x" * 70), (b"n", b"-123456"),
])
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4), CONTENTS),
    st.tuples(st.just("append"), st.integers(1, 4), CONTENTS),
    st.tuples(st.just("discard"), IDS, st.none()),
    st.tuples(st.just("trim_to_length"), st.integers(0, 20), st.none()),
    st.tuples(st.just("trim_to_id"), IDS, st.none()),
)


@given(steps=st.lists(STEPS, max_size=60), most=st.integers(1, 5), low=IDS, high=IDS)
def test_a_stream_does_what_a_list_would(
    steps: list[tuple[str, int, Items | None]], most: int, low: int, high: int
) -> None:
    value, twin = StreamValue(), list[Entry]()
    for step, number, items in steps:
        before = len(twin)
        if items is not None:
            value.append(value.last_id + number, items, 0, most)
            twin.append((value.last_id, items))
        elif step == "discard":
            twin = [entry for entry in twin if entry[0] != number]
            assert value.discard(number) is (len(twin) < before)
        elif step == "trim_to_length":
            twin = twin[max(0, before - number) :]
            assert value.trim_to_length(number) == before - len(twin)
        else:
            twin = [entry for entry in twin if entry[0] >= number]
            assert value.trim_to_id(number) == before - len(twin)
        assert list(value.between()) == twin
        assert len(value) == len(twin)
        assert value.starts == [block.start for block in value.blocks]
        assert all(block.ids for block in value.blocks)
    asked = [entry for entry in twin if low <= entry[0] <= high]
    assert list(value.between(low, high)) == asked
    assert list(value.between_reversed(low, high)) == asked[::-1]
    assert [value.get(entry_id) for entry_id, _ in twin] == [items for _, items in twin]
    assert (value.first_id, value.top_id) == ((twin[0][0], twin[-1][0]) if twin else (0, 0))
    assert value.entries_added == sum(items is not None for _, _, items in steps)


def filled(count: int, most: int) -> StreamValue:
    value = StreamValue()
    for entry_id in range(1, count + 1):
        value.append(entry_id, (b"f", b"%d" % entry_id), 4096, most)
    return value


def test_whole_blocks_go_and_no_part_of_one() -> None:
    value = filled(25, 10)
    assert value.trim_to_length(7, whole_blocks=True) == 10
    assert value.trim_to_length(3, whole_blocks=True, limit=9) == 0
    assert value.trim_to_id(20, whole_blocks=True) == 0
    assert value.trim_to_id(21, whole_blocks=True) == 10
    assert [entry_id for entry_id, _ in value.between()] == [21, 22, 23, 24, 25]


def test_what_is_deleted_goes_on_filling_its_block() -> None:
    value = filled(10, 10)
    assert value.discard(4)
    value.append(11, (b"f", b"v"), 4096, 10)
    assert [len(block.ids) for block in value.blocks] == [9, 1]


def test_a_block_is_full_by_its_bytes() -> None:
    value = StreamValue()
    for entry_id in range(1, 11):
        value.append(entry_id, (b"f", b"x" * 1100), 4096, 100)
    assert [len(block.ids) for block in value.blocks] == [3, 3, 3, 1]


def test_a_copy_is_another_stream() -> None:
    value = filled(5, 2)
    other = value.copy()
    other.discard(1)
    other.append(9, (b"f", b"v"))
    assert len(value) == len(other) == 5
    assert value.get(1) == (b"f", b"1")
    assert value.get(9) is None


@pytest.mark.parametrize(("text", "expected"), [
    (b"5", (5, 7)), (b"5-3", (5, 3)), (b"0-0", (0, 0)), (b"01-002", (1, 2)), (b" +1-2", (1, 2)),
    (b"1- \t2", (1, 2)), (b"1--01", (1, PART_MAX)), (b"1\x00junk", (1, 7)), (b"-", (0, 0)),
    (b"+", (PART_MAX, PART_MAX)), (b"18446744073709551615-18446744073709551615", (PART_MAX, PART_MAX)),
    (b"", None), (b"x", None), (b"1-", None), (b"-1", None), (b"1--1", None), (b"1-2-3", None), (b"1-*", None),
    (b"18446744073709551616", None), (b"1-18446744073709551616", None), (b"1 ", None), (b"9" * 128, None),
    (b"0" * 127, (0, 7)), (b"0" * 128, None), ("¹".encode(), None),
])  # fmt: skip
def test_an_id_is_read_as_redis_reads_it(text: bytes, expected: tuple[int, int] | None) -> None:
    if expected is None:
        with pytest.raises(CommandError, match="Invalid stream ID"):
            parse_bound(text, 7)
    else:
        assert parse_bound(text, 7) == make_id(*expected)


def test_an_id_of_its_own_is_no_bound() -> None:
    for text in (b"-", b"+"):
        with pytest.raises(CommandError, match="Invalid stream ID"):
            parse_id(text)
    assert parse_new_id(b"5-*") == (make_id(5, 0), False)
    assert parse_new_id(b"5") == (make_id(5, 0), True)
    assert id_text(MAX_ID) == b"18446744073709551615-18446744073709551615"

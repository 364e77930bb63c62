"""Long lists, held against Python's."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cluster.keyspace import long_list
from cluster.keyspace.list_value import SHORT_LIMIT, ListValue
from cluster.keyspace.long_list import LongList

ITEMS = st.binary(max_size=1)
FEW = st.lists(ITEMS, max_size=60)


class LongListMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = LongList()
        self.model: list[bytes] = []

    @rule(items=FEW)
    def make(self, items: list[bytes]) -> None:
        self.value, self.model = LongList(items), list(items)

    @rule(items=FEW, left=st.booleans())
    def extend(self, items: list[bytes], left: bool) -> None:
        if left:
            self.value.extendleft(items)
            self.model[:0] = items[::-1]
        else:
            self.value.extend(items)
            self.model += items

    @rule(items=FEW, left=st.booleans())
    def push(self, items: list[bytes], left: bool) -> None:
        for item in items:
            if left:
                self.value.appendleft(item)
                self.model.insert(0, item)
            else:
                self.value.append(item)
                self.model.append(item)

    @rule(count=st.integers(1, 50), left=st.booleans())
    def pop(self, count: int, left: bool) -> None:
        for _ in range(min(count, len(self.model))):
            if left:
                assert self.value.popleft() == self.model.pop(0)
            else:
                assert self.value.pop() == self.model.pop()

    @rule(data=st.data(), item=ITEMS)
    def change(self, data: st.DataObject, item: bytes) -> None:
        if self.model:
            index = data.draw(st.integers(-len(self.model), len(self.model) - 1))
            assert self.value[index] == self.model[index]
            self.value[index] = self.model[index] = item

    @rule(data=st.data(), item=ITEMS)
    def insert(self, data: st.DataObject, item: bytes) -> None:
        index = data.draw(st.integers(0, len(self.model)))
        self.value.insert(index, item)
        self.model.insert(index, item)

    @rule(data=st.data(), left=st.booleans())
    def take(self, data: st.DataObject, left: bool) -> None:
        count = data.draw(st.integers(0, len(self.model)))
        kept = len(self.model) - count
        expected = self.model[:count] if left else self.model[kept:][::-1]
        assert self.value.take(count, left=left) == expected
        self.model = self.model[count:] if left else self.model[:kept]

    @rule(data=st.data(), item=ITEMS)
    def look(self, data: st.DataObject, item: bytes) -> None:
        first = data.draw(st.integers(0, len(self.model)))
        behind = data.draw(st.integers(first, len(self.model)))
        assert self.value.stretch(first, behind) == self.model[first:behind]
        if item in self.model:
            assert self.value.index(item) == self.model.index(item)
        else:
            with pytest.raises(ValueError):
                self.value.index(item)

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.value) == len(self.model)
        assert list(self.value) == self.model
        assert list(reversed(self.value)) == self.model[::-1]


@pytest.mark.parametrize(("limit", "fill"), [(1024, 512), (4, 2), (1, 1)])
def test_whatever_is_done_it_is_a_list(limit: int, fill: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks are cut and dropped all the time."""
    monkeypatch.setattr(long_list, "CHUNK_LIMIT", limit)
    monkeypatch.setattr(long_list, "CHUNK_FILL", fill)
    run_state_machine_as_test(
        LongListMachine, settings=settings(deadline=None, max_examples=60, stateful_step_count=25)
    )


def test_it_grows_and_shrinks_to_any_length() -> None:
    rng = Random(11)
    value, model = LongList(), list[bytes]()
    for size in (100_000, 3, 50_000, 0, 10):
        while len(model) != size:
            item, left = b"%d" % rng.randrange(1000), rng.random() < 0.5
            if len(model) < size:
                (value.appendleft if left else value.append)(item)
                model.append(item)
            else:
                (value.popleft if left else value.pop)()
                model.pop()
        assert len(value) == len(list(value)) == size
    assert value.stretch(0, 10) == list(value)


def test_a_list_becomes_long_and_stays_what_it_is() -> None:
    items = [b"%d" % number for number in range(SHORT_LIMIT + 1)]
    value = ListValue()
    for item in items:
        value.items.append(item)
        value.grown(len(item))
    assert isinstance(value.items, LongList)
    assert list(value) == list(value.copy()) == items
    assert (value.peak_count, value.peak_bytes) == (SHORT_LIMIT + 1, 4)
    gone = value.replace(items[5:10])
    assert list(value) == items[5:10]
    assert list(gone) == items
    assert max(gone.take_apart()) <= long_list.CHUNK_LIMIT

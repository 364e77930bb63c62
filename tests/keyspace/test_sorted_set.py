"""Sorted sets, short and long, held against a list of pairs that is sorted after each change."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cluster.keyspace import ranking
from cluster.keyspace.sorted_set import SHORT_LIMIT, SortedSetValue

SCORES = [-math.inf, -2.5, -1.0, 0.0, 1.0, 1.5, 7.0, math.inf]
MEMBERS = st.one_of(st.binary(max_size=3), st.integers(0, 3000).map(lambda number: b"m%d" % number))


class Model:
    """The naive twin: a dict, sorted whenever somebody asks."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}

    @property
    def pairs(self) -> list[tuple[float, bytes]]:
        return sorted((score, member) for member, score in self.scores.items())


class SortedSetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = SortedSetValue()
        self.model = Model()

    def put(self, member: bytes, score: float) -> None:
        old = self.value.score(member)
        assert old == self.model.scores.get(member)
        if old is None:
            self.value.add(member, score)
        else:
            self.value.move(member, old, score)
        self.model.scores[member] = score

    @rule(member=MEMBERS, score=st.sampled_from(SCORES))
    def set_one(self, member: bytes, score: float) -> None:
        self.put(member, score)

    @rule(seed=st.integers(), count=st.integers(1, 300), spread=st.sampled_from([1, 3, 1000]))
    def set_many(self, seed: int, count: int, spread: int) -> None:
        rng = Random(seed)
        for _ in range(count):
            self.put(b"m%d" % rng.randrange(3000), float(rng.randrange(spread)))

    @rule(member=MEMBERS)
    def discard(self, member: bytes) -> None:
        assert self.value.discard(member) == (self.model.scores.pop(member, None) is not None)

    @rule(data=st.data())
    def remove_stretch(self, data: st.DataObject) -> None:
        pairs = self.model.pairs
        first = data.draw(st.integers(0, len(pairs)))
        behind = data.draw(st.integers(first, len(pairs)))
        if first < behind:
            self.value.remove_stretch(first, behind)
            for _, member in pairs[first:behind]:
                del self.model.scores[member]

    @rule(data=st.data(), score=st.sampled_from(SCORES), after=st.booleans())
    def look(self, data: st.DataObject, score: float, after: bool) -> None:
        pairs = self.model.pairs
        below = sum(one <= score if after else one < score for one, _ in pairs)
        assert self.value.position_of_score(score, after=after) == below
        first = data.draw(st.integers(0, len(pairs)))
        behind = data.draw(st.integers(first, len(pairs)))
        assert self.value.stretch(first, behind) == pairs[first:behind]
        assert self.value.stretch(first, behind, descending=True) == pairs[first:behind][::-1]
        if pairs:
            rank = data.draw(st.integers(0, len(pairs) - 1))
            assert self.value.rank(pairs[rank][1]) == rank
        assert self.value.rank(b"not there") is None

    @rule()
    def copy(self) -> None:
        original, self.value = self.value, self.value.copy()
        if len(original):
            original.remove_stretch(0, len(original))

    @invariant()
    def is_the_same(self) -> None:
        pairs = self.model.pairs
        assert len(self.value) == len(pairs)
        assert list(self.value.items()) == [(member, score) for score, member in pairs]
        assert list(self.value) == [member for _, member in pairs]
        assert dict(self.value.scores().items()) == self.model.scores
        assert sorted(self.value.members()) == sorted(self.model.scores)


@pytest.mark.parametrize(("limit", "fill", "merge"), [(1024, 768, 192), (8, 6, 3)], ids=["as it is", "small chunks"])
def test_whatever_is_done_it_is_sorted(limit: int, fill: int, merge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks are cut and joined all the time."""
    monkeypatch.setattr(ranking, "CHUNK_LIMIT", limit)
    monkeypatch.setattr(ranking, "CHUNK_FILL", fill)
    monkeypatch.setattr(ranking, "MERGE_BELOW", merge)
    run_state_machine_as_test(
        SortedSetMachine, settings=settings(deadline=None, max_examples=60, stateful_step_count=25)
    )


@given(names=st.sets(st.binary(max_size=2), max_size=300), name=st.binary(max_size=2), after=st.booleans())
def test_positions_by_name(names: set[bytes], name: bytes, after: bool) -> None:
    value = SortedSetValue((one, 1.0) for one in names)
    expected = sum(one <= name if after else one < name for one in names)
    assert value.position_of_member(name, after=after) == expected


@pytest.mark.parametrize("size", [10, 1000])
def test_signs_of_zero(size: int) -> None:
    value = SortedSetValue((b"%d" % number, -0.0 if number % 2 else 1.0) for number in range(size))
    value.add(b"zero", 0.0)
    value.drop_zero_signs()
    assert {math.copysign(1.0, score) for _, score in value.items()} == {1.0}


def test_of_a_member_that_comes_twice_the_last_score_counts() -> None:
    assert list(SortedSetValue([(b"a", 2.0), (b"b", 1.0), (b"a", 0.0)]).items()) == [(b"a", 0.0), (b"b", 1.0)]


@pytest.mark.parametrize("size", [3, SHORT_LIMIT, 500])
def test_every_member_is_drawn_as_often_as_any_other(size: int) -> None:
    value = SortedSetValue((b"%d" % number, float(number % 7)) for number in range(size))
    rng = Random(3)
    drawn = Counter(value.random_element(rng) for _ in range(200 * size))
    assert set(drawn) == set(value)
    assert min(drawn.values()) > 130
    assert max(drawn.values()) < 280


def test_it_goes_bit_by_bit() -> None:
    value = SortedSetValue((b"%d" % number, float(number)) for number in range(10_000))
    assert max(value.take_apart()) <= ranking.CHUNK_LIMIT
    assert sum(SortedSetValue((b"%d" % number, 1.0) for number in range(10)).take_apart()) == 0

"""The search finds an order where there is one, and none where there is none; it agrees with a naive one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.histories.linearizability import Answer, check
from scripts.histories.operations import Action, Kind, Operation, Outcome
from tests.histories.histories import explained_by_an_order, op, overlapped, sequential

REGISTER, COUNTER, LIST = Kind.REGISTER, Kind.COUNTER, Kind.LIST
UNKNOWN = Outcome.UNKNOWN

KNOWN_GOOD = {
    "a read beside a write may return the old value": [op(REGISTER, "x", None, 0, 10), op(REGISTER, None, None, 5, 6)],
    "or the new one": [op(REGISTER, "x", None, 0, 10), op(REGISTER, None, "x", 5, 6)],
    "a lost answer may have had its effect late": [
        op(REGISTER, "x", None, 0, 1, outcome=UNKNOWN),
        op(REGISTER, None, None, 2, 3),
        op(REGISTER, None, "x", 100, 101),
    ],
    "or never": [op(LIST, "x", None, 0, 1, outcome=UNKNOWN), op(LIST, None, (), 2, 3)],
    "what failed had none": [op(COUNTER, 1, None, 0, 1, outcome=Outcome.FAIL), op(COUNTER, None, None, 2, 3)],
}
KNOWN_BAD = {
    "a stale read": [
        op(REGISTER, "x", None, 0, 1), op(REGISTER, "y", None, 2, 3), op(REGISTER, None, "x", 4, 5),
    ],
    "a write that is not read by who wrote it": [op(REGISTER, "x", None, 0, 1), op(REGISTER, None, None, 2, 3)],
    "two reads beside a write, the later of the older value": [
        op(REGISTER, "x", None, 0, 10), op(REGISTER, None, "x", 1, 2), op(REGISTER, None, None, 3, 4),
    ],
    "a value from nowhere": [op(REGISTER, "x", None, 0, 1), op(REGISTER, None, "z", 2, 3)],
    "a failed write that is read": [op(REGISTER, "x", None, 0, 1, outcome=Outcome.FAIL), op(REGISTER, None, "x", 2, 3)],
    "a lost append": [op(LIST, "x", 1, 0, 1), op(LIST, "y", 2, 2, 3), op(LIST, None, ("y",), 4, 5)],
    "an append that stands twice": [op(LIST, "x", 1, 0, 1), op(LIST, None, ("x", "x"), 2, 3)],
    "two orders": [
        op(LIST, "x", None, 0, 9, outcome=UNKNOWN), op(LIST, "y", None, 0, 9, outcome=UNKNOWN),
        op(LIST, None, ("x", "y"), 10, 11), op(LIST, None, ("y", "x"), 12, 13),
    ],
    "a lost increment": [op(COUNTER, 1, 1, 0, 1), op(COUNTER, 1, 1, 2, 3)],
    "an increment that counts twice": [op(COUNTER, 1, None, 0, 1, outcome=UNKNOWN), op(COUNTER, None, 2, 2, 3)],
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN_GOOD)
def test_histories_known_to_be_good(name: str) -> None:
    assert check(KNOWN_GOOD[name]).answer is Answer.LINEARIZABLE


@pytest.mark.parametrize("name", KNOWN_BAD)
def test_histories_known_to_be_bad(name: str) -> None:
    assert check(KNOWN_BAD[name]).answer is Answer.NOT


def test_what_is_bad_is_named() -> None:
    result = check(KNOWN_BAD["a stale read"])
    assert result.stuck == KNOWN_BAD["a stale read"][2]
    assert str(result) == (
        "no order explains client 0: read key -> x by a at 0.000-0.000 s; before it there was y"
    )


def test_a_write_that_may_be_lost_may_be_missing_and_may_be_there() -> None:
    write = op(LIST, "x", 1, 0, 1)
    for seen in ((), ("x",)):
        history = [write, op(LIST, None, seen, 2, 3)]
        assert check(history, lambda one: one.action is Action.WRITE).answer is Answer.LINEARIZABLE
    # But what was lost does not come back.
    history = [write, op(LIST, None, (), 2, 3), op(LIST, None, ("x",), 4, 5)]
    assert check(history, lambda one: one.action is Action.WRITE).answer is Answer.NOT


@given(st.sampled_from(list(Kind)), st.integers(0, 60), st.randoms(use_true_random=False))
def test_what_was_done_one_after_another_stays_linearizable_when_it_overlaps(
    kind: Kind, count: int, rng: random.Random
) -> None:
    assert check(overlapped(sequential(kind, count, rng), rng)).answer is Answer.LINEARIZABLE


@given(st.sampled_from(list(Kind)), st.integers(2, 60), st.randoms(use_true_random=False))
def test_one_answer_that_is_wrong_is_found(kind: Kind, count: int, rng: random.Random) -> None:
    history = sequential(kind, count, rng)
    known = overlapped(history, rng)
    at = rng.choice([number for number, one in enumerate(history) if kind is not REGISTER or not _writes(one)] or [0])
    if kind is REGISTER and _writes(history[at]):
        return  # There is no read, and a SET answers OK whatever happens.
    known[at] = replace(history[at], result=_wrong(history[at]))
    assert check(known).answer is Answer.NOT


def _writes(one: Operation) -> bool:
    return one.action is Action.WRITE


def _wrong(one: Operation) -> str | int | tuple[str, ...]:
    if isinstance(one.result, tuple):
        return (*one.result, "from nowhere")
    if isinstance(one.result, int):
        return one.result + 1_000
    return "from nowhere"


SMALL = st.builds(
    lambda writes, argument, result, begun, length, outcome: (writes, argument, result, begun, length, outcome),
    st.booleans(), st.integers(0, 2), st.integers(0, 3), st.integers(0, 20), st.integers(0, 12),
    st.sampled_from((Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.FAIL)),
)  # fmt: skip


@given(st.sampled_from(list(Kind)), st.lists(SMALL, max_size=6))
def test_the_search_agrees_with_the_naive_one(
    kind: Kind, drawn: list[tuple[bool, int, int, int, int, Outcome]]
) -> None:
    history = [_small(kind, *words) for words in drawn]
    assert (check(history).answer is Answer.LINEARIZABLE) == explained_by_an_order(history)


def _small(
    kind: Kind, writes: bool, argument: int, result: int, begun: int, length: int, outcome: Outcome
) -> Operation:
    if kind is COUNTER:
        return op(kind, 1 if writes else None, result, begun, begun + length, outcome=outcome)
    value = "xyz"[argument]
    if kind is REGISTER:
        seen = None if writes or result == 3 else "xyz"[result]
        return op(kind, value if writes else None, seen, begun, begun + length, outcome=outcome)
    read = tuple("xyz"[:result])
    return op(kind, value if writes else None, result if writes else read, begun, begun + length, outcome=outcome)


def test_many_operations_on_many_keys_take_few_steps() -> None:
    rng = random.Random(7)
    for number in range(200):
        kind = list(Kind)[number % 3]
        history = overlapped(sequential(kind, 100, rng), rng)
        assert check(history, budget=20_000).answer is Answer.LINEARIZABLE


def test_a_search_that_is_too_long_is_given_up_and_said_to_be() -> None:
    history = [op(LIST, f"v{number}", None, 0, 100, outcome=UNKNOWN) for number in range(12)]
    elements = tuple(f"v{number}" for number in range(11, -1, -1))
    history += [op(LIST, None, elements[:size], 200 + size, 200 + size) for size in (6, 12)]
    assert check(history, budget=50).answer is Answer.UNDECIDED

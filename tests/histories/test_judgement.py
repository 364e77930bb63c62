"""What may be lost, by whom and when; and that nothing else may."""

from __future__ import annotations

from scripts.histories.judgement import judge
from scripts.histories.operations import Exposure, Kind, from_lines, to_lines, told
from tests.histories.histories import op

LIST, REGISTER = Kind.LIST, Kind.REGISTER
CUT = Exposure("a", 100, 200, "cut off")
KEPT = [op(LIST, "x", 1, 0, 1), op(LIST, None, ("x",), 300, 301, node="b")]


def test_what_a_cut_off_primary_acknowledged_may_be_lost() -> None:
    history = [*KEPT, op(LIST, "y", 2, 150, 151), op(LIST, None, ("x", "y"), 152, 153)]
    judgement = judge(history, [CUT])
    assert (judgement.violations, judgement.exposed, judgement.lost) == ([], 1, 1)
    assert judge(history).violations
    assert judge(history, [CUT], no_loss=True).violations


def test_what_it_acknowledged_before_or_after_may_not() -> None:
    for at in (50, 250):
        assert judge([*KEPT, op(LIST, "y", 2, at, at + 1)], [CUT]).violations


def test_what_another_acknowledged_meanwhile_may_not() -> None:
    assert judge([*KEPT, op(LIST, "y", 2, 150, 151, node="b")], [CUT]).violations


def test_a_cut_off_primary_still_shows_what_it_was_given() -> None:
    unread = [*KEPT, op(LIST, "y", 2, 150, 151), op(LIST, None, ("x",), 152, 153)]
    (violation,) = judge(unread, [CUT]).violations
    assert "as a had it" in violation


def test_a_cut_off_primary_need_not_have_what_its_heir_has_taken() -> None:
    heirs = [op(LIST, "x", 1, 120, 121, node="b"), op(LIST, None, ("x",), 122, 123, node="b")]
    last = op(LIST, None, ("x",), 300, 301, node="b")
    stale = op(LIST, None, (), 150, 151)
    assert judge([*heirs, stale, last], [CUT]).violations == []
    assert judge([*heirs, op(LIST, "y", 1, 150, 151), last], [CUT]).violations == []
    # What was there before it was cut off it has, and the heir has what it took itself.
    assert judge([*KEPT, stale], [CUT]).violations
    assert judge([*heirs, op(LIST, None, (), 150, 151, node="b"), last], [CUT]).violations


def test_what_was_handed_over_to_a_node_about_to_be_cut_off_may_be_read_there() -> None:
    came = [op(LIST, "x", 1, 120, 121, node="c"), op(LIST, None, ("x",), 150, 151), op(LIST, "y", 2, 152, 153)]
    assert judge([*came, op(LIST, None, ("x",), 300, 301, node="b")], [CUT]).violations == []
    assert judge([*came, op(LIST, None, ("y",), 300, 301, node="b")], [CUT]).violations


def test_a_loss_is_of_the_last_writes() -> None:
    hole = [op(LIST, "x", 1, 150, 151), op(LIST, "y", 2, 152, 153), op(LIST, None, ("y",), 300, 301, node="b")]
    assert judge(hole, [CUT]).violations


def test_keys_are_judged_apart() -> None:
    history = [
        op(REGISTER, "x", None, 0, 1, key="one"), op(REGISTER, None, "x", 2, 3, key="one"),
        op(REGISTER, "y", None, 0, 1, key="two"), op(REGISTER, None, "x", 2, 3, key="two"),
    ]  # fmt: skip
    judgement = judge(history)
    assert (judgement.keys, judgement.operations, len(judgement.violations)) == (2, 4, 1)
    assert judgement.violations[0].startswith("two: ")


def test_a_history_in_a_file_is_the_same() -> None:
    history = [*KEPT, op(REGISTER, "x", None, 0, 1, key="one")]
    assert list(from_lines(to_lines(history))) == history


def test_a_broken_key_is_told_with_all_that_was_done_to_it() -> None:
    history = [op(REGISTER, "z", None, -1, 0, key="other"), op(LIST, "y", 2, 150, 151), *KEPT]
    assert judge(history).broken_keys == ["key"]
    exposed, first, second, third = told("key", history, [CUT]).splitlines()
    assert exposed == "a exposed 0.000-0.000 s: cut off"
    for done, line in (("write key x", first), ("write key y", second), ("read key", third)):
        assert done in line
    assert [line.endswith(", exposed") for line in (first, second, third)] == [False, True, False]

"""What an event excuses, what a row shows, and when the verdict is not good."""

from __future__ import annotations

from scripts.chaos_run.timeline import LAG_NS, Event, Row, exposures, rows, verdict
from scripts.histories.judgement import Judgement, judge
from scripts.histories.operations import Kind, Outcome
from tests.histories.histories import op

S = 10**9
KILL = Event(10 * S, "kill -9 of primary 7400", 13 * S, exposed="7400")
RESTART = Event(20 * S, "restart of primary 7401", 21 * S)


def test_only_a_primary_that_is_killed_or_stopped_may_lose_and_only_its_last_writes() -> None:
    (exposure,) = exposures([KILL, RESTART])
    assert (exposure.node, exposure.from_ns, exposure.to_ns) == ("7400", 10 * S - LAG_NS, 10 * S)


def test_a_row_counts_what_clients_were_answered_until_the_cluster_was_whole() -> None:
    operations = [
        op(Kind.LIST, "x", 1, 9 * S, 9 * S),
        op(Kind.LIST, "y", 2, 11 * S, 11 * S),
        op(Kind.LIST, "z", None, 10 * S, 12 * S, outcome=Outcome.UNKNOWN),
        op(Kind.LIST, None, None, 10 * S, 12 * S, outcome=Outcome.FAIL),
    ]
    assert rows([KILL], operations, begun_ns=8 * S) == [Row(2.0, KILL.what, "3.0 s", 1, 1, 1)]


def test_the_verdict_is_good_only_if_something_was_answered_and_nothing_is_wrong() -> None:
    assert verdict(judge([op(Kind.LIST, "x", 1, 0, 1)]), [KILL]) == []
    assert verdict(Judgement(), [KILL]) == ["no client was answered anything"]
    assert len(verdict(judge([op(Kind.LIST, "x", 5, 0, 1)]), [])) == 1
    broken = Event(0, "reshard", 1, trouble="slot 5 is served by nobody")
    (line,) = verdict(judge([op(Kind.LIST, "x", 1, 0, 1)]), [broken])
    assert line == "not whole after reshard: slot 5 is served by nobody"

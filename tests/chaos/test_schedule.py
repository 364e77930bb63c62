"""A seed decides what happens in which order."""

from __future__ import annotations

from itertools import islice

from scripts.chaos_run.schedule import Fault, schedule


def test_the_same_seed_gives_the_same_faults_again() -> None:
    assert list(islice(schedule(5), 50)) == list(islice(schedule(5), 50))
    assert list(islice(schedule(5), 50)) != list(islice(schedule(6), 50))


def test_every_fault_comes_before_any_comes_again() -> None:
    strikes = list(islice(schedule(1), 3 * len(Fault)))
    for start in range(0, len(strikes), len(Fault)):
        assert {strike.fault for strike in strikes[start : start + len(Fault)]} == set(Fault)


def test_replicas_are_struck_too_but_never_failed_over_to_themselves() -> None:
    strikes = list(islice(schedule(1), 200))
    assert {strike.fault for strike in strikes if strike.replica} == {Fault.KILL, Fault.STOP, Fault.RESTART}

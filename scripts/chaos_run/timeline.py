"""What was done when, how the cluster took it, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.histories.judgement import Judgement
from scripts.histories.operations import Exposure, Operation, Outcome

LAG_NS = 1_000_000_000
"""Replication is asynchronous: what was acknowledged so shortly before its primary went may not be on the replica."""


@dataclass(frozen=True, slots=True)
class Event:
    """`exposed` is the node whose last writes it may cost, or ''. `trouble` is why the cluster did not become whole."""

    at_ns: int
    what: str
    over_ns: int
    exposed: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    at_s: float
    what: str
    outcome: str
    ok: int
    failed: int
    unknown: int


def exposures(events: Sequence[Event]) -> list[Exposure]:
    """A killed or stopped primary acknowledges nothing afterwards, so the time in question ends with the event."""
    return [Exposure(one.exposed, one.at_ns - LAG_NS, one.at_ns, one.what) for one in events if one.exposed]


def rows(events: Sequence[Event], operations: Sequence[Operation], begun_ns: int) -> list[Row]:
    """A row for each event, with what clients were answered from its begin until the cluster was whole again."""
    made = []
    for one in events:
        during = [op.outcome for op in operations if one.at_ns <= op.ended_ns <= one.over_ns]
        took = f"{(one.over_ns - one.at_ns) / 1e9:.1f} s"
        counts = (during.count(Outcome.OK), during.count(Outcome.FAIL), during.count(Outcome.UNKNOWN))
        made.append(Row((one.at_ns - begun_ns) / 1e9, one.what, one.trouble or took, *counts))
    return made


def verdict(judgement: Judgement, events: Sequence[Event]) -> list[str]:
    """What is wrong, a line each; none where all is well."""
    return [
        *(f"not whole after {one.what}: {one.trouble}" for one in events if one.trouble),
        *judgement.violations,
        *judgement.undecided,
        *([] if judgement.operations else ["no client was answered anything"]),
    ]

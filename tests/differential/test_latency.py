"""LATENCY beside redis-server: the shapes of the replies, and the same histograms of commands of a known length."""

from __future__ import annotations

from time import perf_counter_ns

import pytest

from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair

SLEEP_S = 0.04


def _busy(seconds: float) -> None:
    until = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < until:
        pass


@pytest.fixture
def spikes(alone: ServerPair) -> ServerPair:
    """Both have an event, of a command of 40 ms."""
    alone.node.server.shell.stall = _busy
    alone.begin(2)
    alone.both([b"LATENCY", b"RESET"])
    alone.both([b"CONFIG", b"RESETSTAT"])
    alone.both([b"CONFIG", b"SET", b"latency-monitor-threshold", b"30"])
    alone.both([b"DEBUG", b"SLEEP", b"%.2f" % SLEEP_S])
    return alone


def shape(reply: Reply) -> object:
    """Kinds and texts; numbers are each server's own. A map's items are pairs."""
    if isinstance(reply.value, tuple):
        parts = [list(item) if reply.kind == "%" else [item] for item in reply.value]
        return reply.kind, [shape(part) for pair in parts for part in pair]
    return (reply.kind, reply.value) if reply.kind == "$" else reply.kind


@pytest.mark.parametrize("resp", [2, 3])
def test_replies_have_the_same_shape(spikes: ServerPair, resp: int) -> None:
    spikes.begin(resp)
    for line in ("LATENCY LATEST", "LATENCY HISTORY command", "LATENCY HISTORY none", "LATENCY HISTOGRAM debug"):
        ours, theirs = spikes.both(line.encode().split())
        assert shape(ours) == shape(theirs), line
    for line in ("LATENCY GRAPH command", "LATENCY DOCTOR"):
        ours, theirs = spikes.both(line.encode().split())
        assert ours.kind == theirs.kind, line
    for line in ("LATENCY HISTOGRAM none", "LATENCY GRAPH none", "LATENCY RESET none", "LATENCY RESET command none",
                 "LATENCY RESET", "LATENCY LATEST", "LATENCY LATEST x", "LATENCY HISTORY", "LATENCY GRAPH a b",
                 "LATENCY DOCTOR x", "LATENCY NONSENSE", "LATENCY"):  # fmt: skip
        ours, theirs = spikes.both(line.encode().split())
        assert ours == theirs, line


def test_the_histogram_of_a_command_is_the_same(spikes: ServerPair) -> None:
    """40 ms lie between 33.8 and 67.6, with room on either side."""
    ours, theirs = spikes.both([b"LATENCY", b"HISTOGRAM", b"debug"])
    assert ours == theirs


def test_info_shows_the_same_percentiles(spikes: ServerPair) -> None:
    spikes.both([b"CONFIG", b"SET", b"latency-tracking-info-percentiles", b"0 50 99.9 99.999 12.5 100"])
    shown = []
    for reply in spikes.both([b"INFO", b"latencystats"]):
        assert isinstance(reply.value, bytes)
        lines = reply.value.decode().splitlines()
        line = next(one for one in lines if one.startswith("latency_percentiles_usec_debug:"))
        figures = [part.partition("=") for part in line.partition(":")[2].split(",")]
        shown.append([name for name, _, _ in figures])
        assert all(float(figure) / 1e6 * 1.1 >= SLEEP_S for _, _, figure in figures)
    assert shown[0] == shown[1]

"""LATENCY and what is kept of commands' times, in a node of one process."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest

from cluster.command_times import LONG_ENOUGH_NS
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    """Its commands stall for as long as DEBUG SLEEP says."""
    node = WholeNode(tmp_path)
    node.server.shell.stall = _busy
    return node


def _busy(seconds: float) -> None:
    until = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < until:
        pass


def info(node: InProcessNode, section: str) -> dict[str, str]:
    text = node("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def histogram(node: InProcessNode, *names: str) -> dict[bytes, Any]:
    flat = node("LATENCY", "HISTOGRAM", *names)
    return {name: dict(zip(fields[::2], fields[1::2], strict=True))
            for name, fields in zip(flat[::2], flat[1::2], strict=True)}  # fmt: skip


def test_a_slow_command_is_an_event(whole: WholeNode) -> None:
    whole("DEBUG", "SLEEP", "0.004")
    assert whole("LATENCY", "LATEST") == [], "the monitor is off"
    whole("CONFIG", "SET", "latency-monitor-threshold", "2")
    whole("DEBUG", "SLEEP", "0.004")
    [[name, seconds, latest, worst]] = whole("LATENCY", "LATEST")
    assert (name, seconds, latest) == (b"command", whole.now_ms // 1000, worst)
    assert worst >= 4
    whole.advance(1000)
    whole("DEBUG", "SLEEP", "0.002")
    first, second = whole("LATENCY", "HISTORY", "command")
    assert (first, second[0]) == ([seconds, worst], seconds + 1)
    assert whole("LATENCY", "GRAPH", "command").startswith(b"command - high ")
    assert b"1. command: 2 latency spikes" in whole("LATENCY", "DOCTOR")
    assert whole("LATENCY", "RESET", "fork", "command") == 1
    assert whole("LATENCY", "HISTORY", "command") == []
    assert whole.error("LATENCY", "GRAPH", "command") == "ERR No samples available for event 'command'"


def test_a_fast_command_is_an_event_of_its_own(whole: WholeNode) -> None:
    whole("CONFIG", "SET", "latency-monitor-threshold", "1", "slowlog-log-slower-than", "-1")
    whole("SET", "a", "1")
    command = whole.server.table.find(b"GET")
    assert command is not None
    whole.server.times.note(whole.client.session, command, [b"GET", b"a"], 3_000_000)
    assert [name for name, *_ in whole("LATENCY", "LATEST")] == [b"fast-command"]
    assert whole("SLOWLOG", "LEN") == 0


def test_what_else_holds_up_the_node_is_an_event(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("maxmemory-policy", "allkeys-random"))
    node.server.latency.threshold_ns = 0
    waiting = node.connect()
    waiting.raw("BLPOP", "list", 0)
    node("RPUSH", "list", "a")
    assert waiting.decoded(waiting.received()) == [b"list", b"a"]
    node("SET", "a", "x" * 10_000)
    node("CONFIG", "SET", "maxmemory", "1")
    node.server.memory.configure()
    node.server.refresh_road()
    node.server.latency.threshold_ns = 0
    node("GET", "a")
    node.client.raw("SET", "b", "x" * 10_000)
    assert {"command-unblocking", "eviction-cycle"} <= set(node.server.latency.events)


def test_the_file_and_its_child_are_events(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("appendonly", "yes"), ("appendfsync", "always"))
    node.server.persistence.aof.open_at_start()
    node.server.latency.threshold_ns = 0
    node("SET", "a", 1)
    events = set(node.server.latency.events)
    assert {"aof-write", "aof-write-alone", "aof-fsync-always"} <= events
    node("BGSAVE")
    assert "fork" in node.server.latency.events
    node.server.persistence.stop_background_save()


# -- histograms ----------------------------------------------------------------------------------------------------


def test_percentiles_are_those_of_the_calls(whole: WholeNode) -> None:
    whole("CONFIG", "SET", "latency-tracking-info-percentiles", "0 50 99 100")
    for _ in range(9):
        whole("DEBUG", "SLEEP", "0.001")
    whole("DEBUG", "SLEEP", "0.02")
    shown = info(whole, "latencystats")["latency_percentiles_usec_debug"]
    found = {name: float(figure) for name, figure in (part.split("=") for part in shown.split(","))}
    assert list(found) == ["p0", "p50", "p99", "p100"]
    assert 1000 <= found["p0"] <= found["p50"] < 15_000
    assert found["p99"] == found["p100"] >= 20_000
    assert "latency_percentiles_usec_get" not in info(whole, "latencystats"), "it was not called"
    whole("CONFIG", "SET", "latency-tracking-info-percentiles", "")
    assert info(whole, "latencystats")["latency_percentiles_usec_debug"] == ""
    assert "latency_percentiles_usec_debug" not in info(whole, "default")
    assert "latency_percentiles_usec_debug" in info(whole, "all")


def test_fast_and_slow_calls_add_up(node: InProcessNode) -> None:
    command = node.server.table.find(b"SET")
    assert command is not None
    command.calls, command.spent_ns = 90, 90 * 1000
    for _ in range(10):
        command.calls += 1
        command.spent_ns += 1_000_000
        node.server.times.note(node.client.session, command, [b"SET"], 1_000_000)
    assert histogram(node, "set") == {b"set": {b"calls": 100, b"histogram_usec": [1, 90, 1056, 100]}}
    shown = info(node, "latencystats")["latency_percentiles_usec_set"]
    assert shown.startswith("p50=1.000,p99=10")


def test_what_is_faster_than_long_enough_is_in_one_bucket(node: InProcessNode) -> None:
    command = node.server.table.find(b"GET")
    assert command is not None
    command.calls, command.spent_ns = 2, 10 * LONG_ENOUGH_NS  # such as a script's first turn, which is noted later
    assert histogram(node, "get")[b"get"][b"histogram_usec"] == [4, 2]


def test_histograms_are_asked_for_by_name(node: InProcessNode) -> None:
    for line in (("SET", "a", 1), ("GET", "a"), ("CONFIG", "GET", "port"), ("CONFIG", "GET", "hz"), ("CLIENT", "ID")):
        node(*line)
    assert set(histogram(node)) == {b"set", b"get", b"config|get", b"client|id"}
    assert set(histogram(node, "CONFIG", "nonsense", "client|ID", "set")) == {b"config|get", b"client|id", b"set"}
    assert histogram(node, "config|get")[b"config|get"][b"calls"] == 2
    assert node("LATENCY", "HISTOGRAM", "nonsense", "config|nonsense") == []


def test_what_is_not_tracked_is_in_no_histogram(node: InProcessNode) -> None:
    node("GET", "a")
    node("CONFIG", "SET", "latency-tracking", "no")
    for _ in range(5):
        node("GET", "a")
        node("STRLEN", "a")
    assert histogram(node, "get")[b"get"][b"calls"] == 1, "what was counted before is still there"
    assert [name for name in info(node, "latencystats") if name.startswith("latency")] == []
    node("CONFIG", "SET", "latency-tracking", "yes")
    assert set(histogram(node, "get", "strlen")) == {b"get"}
    node("GET", "a")
    assert histogram(node, "get")[b"get"][b"calls"] == 2


@pytest.mark.parametrize("tracking", ["yes", "no"])
def test_a_reset_of_statistics_empties_histograms(node: InProcessNode, tracking: str) -> None:
    node("GET", "a")
    node("CONFIG", "SET", "latency-tracking", tracking)
    node("CONFIG", "RESETSTAT")
    assert histogram(node, "get") == {}
    node("CONFIG", "SET", "latency-tracking", "yes")
    node("GET", "a")
    assert histogram(node, "get")[b"get"][b"calls"] == 1

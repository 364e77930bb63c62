"""The latency monitor and its texts, and the histograms of command times, by hand-made clocks."""

from __future__ import annotations

import random

import pytest

from cluster.command_times import LONG_ENOUGH_NS, Times, bucket_of, longest_in, shown_percentiles
from cluster.latency import SAMPLES_KEPT, Event, LatencyMonitor
from cluster.latency_report import diagnosis, graph

MS = 1_000_000
SAMPLES = [(467, 15), (469, 300), (470, 77), (472, 150), (473, 80), (474, 21), (476, 251), (477, 124), (478, 210),
           (542, 33), (543, 39)]  # fmt: skip
DRAWN = """\
command - high 300 ms, low 15 ms (all time high 300 ms)
--------------------------------------------------------------------------------
 #    _    \n |    | #  \n | #  |o|  \n_|#|#_|||_o\n           \n11111111121\nmmmmmmmmmss
"""
"""What redis-server 7.0 draws of these, at second 544."""


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000
        self.ns = 0

    def monitor(self) -> LatencyMonitor:
        return LatencyMonitor(lambda: self.ms, lambda: self.ns)


def event_of(samples: list[tuple[int, int]]) -> Event:
    event = Event()
    for seconds, latency_ms in samples:
        event.add(seconds, latency_ms)
    return event


def test_what_takes_the_threshold_is_noted_and_nothing_below() -> None:
    monitor = Clock().monitor()
    monitor.took("fork", 10_000 * MS)
    assert monitor.events == {}, "it is off"
    monitor.configure(5)
    monitor.took("fork", 5 * MS - 1)
    assert monitor.events == {}
    monitor.took("fork", 5 * MS)
    assert monitor.events["fork"].samples == [(1000, 5)]


def test_a_second_keeps_its_worst_and_an_event_its_worst_of_all() -> None:
    event = event_of([(1, 7), (1, 9), (1, 8), (2, 3)])
    assert event.samples == [(1, 9), (2, 3)]
    for second in range(3, 200):
        event.add(second, 1)
    assert len(event.samples) == SAMPLES_KEPT
    assert event.worst_ms == 9


def test_work_is_timed_while_the_monitor_is_on() -> None:
    clock = Clock()
    monitor = clock.monitor()

    def work() -> str:
        clock.ns += 20 * MS
        return "done"

    assert monitor.timed("work", work) == "done"
    assert monitor.events == {}
    monitor.configure(20)
    assert monitor.timed("work", work) == "done"
    assert monitor.events["work"].samples == [(1000, 20)]
    monitor.took("other", 20 * MS)
    assert monitor.reset(["work", "nothing"]) == 1
    assert list(monitor.events) == ["other"]
    assert monitor.reset([]) == 1


def test_a_graph_is_redis_servers() -> None:
    assert graph("command", event_of(SAMPLES), 544) == DRAWN
    assert graph("x", event_of([(7, 50)]), 7).splitlines()[2:] == [" ", " ", " ", "_", " ", "0", "s"]


def test_more_samples_than_columns_are_drawn_below_each_other() -> None:
    lines = graph("x", event_of([(second, second) for second in range(100)]), 200_000).splitlines()
    assert [len(line) for line in lines[2:]] == [80] * 7 + [0] + [20] * 7
    assert lines[7][0] + lines[8][0] == "2d"


@pytest.mark.parametrize("name", ["command", "fork", "expire-cycle", "eviction-cycle", "aof-write-alone"])
def test_the_doctor_has_advice(name: str) -> None:
    text = diagnosis({name: event_of([(1, 10), (11, 30)])}, 21, is_on=True)
    assert f"1. {name}: 2 latency spikes (average 20ms, mean deviation 10ms, period 10.00 sec). Worst" in text
    assert "What may help" in text


def test_the_doctor_says_why_there_is_nothing() -> None:
    assert "latency-monitor-threshold" in diagnosis({}, 1, is_on=False)
    assert "No latency spike" in diagnosis({}, 1, is_on=True)


def test_a_bucket_holds_times_that_are_nearly_alike() -> None:
    rng = random.Random(1)
    times = sorted({int(2 ** rng.uniform(12, 40)) for _ in range(2000)})
    buckets = [bucket_of(one) for one in times]
    assert buckets == sorted(buckets)
    for nanoseconds, bucket in zip(times, buckets, strict=True):
        assert nanoseconds <= longest_in(bucket) <= nanoseconds * 17 / 16
        assert bucket_of(longest_in(bucket)) == bucket
        assert bucket_of(longest_in(bucket) + 1) == bucket + 1


def test_percentiles_and_doublings() -> None:
    times = Times(1000, [(900, 490), (LONG_ENOUGH_NS, 20), (70_000, 480), (5 * MS, 10)])
    assert shown_percentiles(times, (0, 49, 50, 51.5, 99, 99.9, 100)) == (
        "p0=0.900,p49=0.900,p50=4.096,p51.5=70.000,p99=70.000,p99.9=5000.000,p100=5000.000"
    )
    assert list(times.doublings()) == [(1, 490), (4, 510), (132, 990), (8454, 1000)]

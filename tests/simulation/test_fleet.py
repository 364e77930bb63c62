"""The bus in clusters of a size that no test can start: what it costs must not grow with them where it need not."""

from __future__ import annotations

from scripts.benchmark.scale import measure_scale

SMALL, LARGE = 6, 60


def test_a_large_cluster_does_what_a_small_one_does_and_its_heartbeats_are_as_short() -> None:
    small, large = measure_scale([SMALL, LARGE], lambda _: None)
    for row in (small, large):
        assert None not in (row.up_ms, row.joined_ms, row.slot_moved_ms, row.silent_replaced_ms), row
    assert large.heartbeat_bytes < small.heartbeat_bytes + 8
    assert large.replacement_known_ms is not None
    assert large.replacement_known_ms < 1_000, "a refused connection is found out at once"

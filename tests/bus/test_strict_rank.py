"""Elections where no write may be lost (cluster-write-acks): who has less does not go before who has more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bus import events
from bus.election import OFFSETS_WAIT_MS
from bus.messages import Fail, VoteRequest
from tests.bus.driver import TIMEOUT_MS, Driver, cluster, node_id

REPLICAS = cluster("abc", {"d": "b", "e": "b"})


@pytest.mark.parametrize("strict", [False, True])
def test_a_replica_that_has_less_stands_only_where_that_may_be(strict: bool) -> None:
    """Though the one with more never gets the votes; it is in reach, and so may yet."""
    driver = Driver("d", REPLICAS)
    driver.step(events.ConfigChanged(replace(driver.config, strict_rank=strict)))
    driver.step(events.ReplicationOffset(100, True, 0))
    driver.hear("e", driver.heartbeat("e", offset=200))
    driver.hear("a", Fail(node_id("b")))
    driver.hear("e", driver.heartbeat("e", offset=200))
    driver.tick(3_000, alive="ace")
    assert bool(driver.sent(VoteRequest)) is not strict


def test_where_no_write_may_be_lost_the_others_are_waited_for_until_they_are_out_of_reach() -> None:
    driver = Driver("d", REPLICAS)
    driver.step(events.ConfigChanged(replace(driver.config, strict_rank=True)))
    driver.hear("a", Fail(node_id("b")))
    driver.tick(OFFSETS_WAIT_MS + 300, alive="ac")
    assert driver.sent(VoteRequest) == []
    driver.tick(2 * TIMEOUT_MS, alive="ac")
    assert driver.sent(VoteRequest) != []

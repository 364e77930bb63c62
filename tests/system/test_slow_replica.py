"""A replica that takes the stream more slowly than clients write: it is helped, and not cut off."""

from __future__ import annotations

import re

import pytest

from tests.system.harness import Harness, ServerKind
from tests.system.pairs import ALONE, DEADLINE_S
from tests.system.replica_by_hand import ReplicaByHand
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

LIMIT_BYTES = 2 << 20
VALUE = b"x" * 100_000
WRITES = 400
"""Of that value: more than any socket takes by itself, and many times the limit."""


def test_what_it_has_not_read_yet_is_kept_in_a_file(harness: Harness, server_kind: ServerKind) -> None:
    if server_kind != "ours":
        pytest.skip("redis-server cuts it off at its output limit")
    primary = harness.server({**ALONE, "client-output-buffer-limit": f"replica {LIMIT_BYTES} 0 0"})
    replica = ReplicaByHand(primary.port)
    replica.acknowledge()
    wait_until(
        lambda: "state=online" in primary.info("replication").get("slave0", ""), DEADLINE_S, "the replica is online"
    )
    with primary.client() as client:
        for number in range(WRITES):
            client.call("SET", f"key:{number}", VALUE)
        client.call("SET", "last", "one")
    found = primary.info()
    assert "does not keep up" in primary.log()
    assert found["connected_slaves"] == "1"
    assert found["client_output_buffer_limit_disconnections"] == "0"
    assert int(found["mem_clients_slaves"]) < 2 * LIMIT_BYTES
    stream = replica.read_to(int(found["master_repl_offset"]))
    keys = re.findall(rb"\r\n(key:\d+|last)\r\n", stream)
    assert keys == [b"key:%d" % number for number in range(WRITES)] + [b"last"]
    wait_until(lambda: "has caught up" in primary.log(), DEADLINE_S, "nothing is held any more")
    primary.call("SET", "live", 1)
    stream = replica.read_to(int(primary.info("replication")["master_repl_offset"]))
    assert b"live" in stream
    assert primary.info("stats")["sync_full"] == "1"
    replica.close()

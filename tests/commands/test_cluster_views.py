"""CLUSTER, looking: the shapes that clients and redis-cli parse, on a node that knows four others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bus.transport import LinkFacts
from tests.commands.in_process import START_MS, InProcessNode
from tests.commands.whole import CoreBridge, WholeNode

ME, SECOND, REPLICA, FAILED, MY_REPLICA = ("1" * 40, "2" * 40, "3" * 40, "4" * 40, "5" * 40)
NODES_CONF = f"""\
{ME} 10.0.0.1:6379@16379,one.example myself,master - 0 0 3 connected 0-8000 [5->-{SECOND}]
{SECOND} 10.0.0.2:7001@17001 master - 0 0 4 connected 8001-16000 16383
{REPLICA} 10.0.0.3:7002@17002 slave {SECOND} 0 0 4 connected
{FAILED} 10.0.0.4:7003@17003 master,fail - 0 0 5 connected 16001-16382
{MY_REPLICA} 10.0.0.5:7004@17004,five.example slave {ME} 0 0 3 connected
vars currentEpoch 9 lastVoteEpoch 7
"""


def make(directory: Path, **directives: str) -> WholeNode:
    options = {"cluster-enabled": "yes", "cluster-announce-ip": "10.0.0.1", "cluster-announce-hostname": "one.example"}
    options |= {name.replace("_", "-"): value for name, value in directives.items()}
    return WholeNode(directory, *options.items(), nodes_conf=NODES_CONF)


@pytest.fixture
def five(tmp_path: Path) -> WholeNode:
    return make(tmp_path)


def flat(reply: list[Any]) -> dict[Any, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def info(node: InProcessNode) -> dict[str, str]:
    return dict(line.split(":", 1) for line in node("CLUSTER", "INFO").decode().splitlines())


def test_who_am_i(five: WholeNode) -> None:
    assert five("CLUSTER", "MYID") == ME.encode()
    assert five("CLUSTER", "MYSHARDID") == ME.encode()


def test_nodes_is_a_line_each(five: WholeNode) -> None:
    lines = {line.split(" ")[0]: line for line in five("CLUSTER", "NODES").decode().splitlines()}
    assert lines[ME] == (
        f"{ME} 10.0.0.1:6379@16379,one.example myself,master - 0 0 3 connected 0-8000 [5->-{SECOND}]"
    )
    assert lines[REPLICA].startswith(f"{REPLICA} 10.0.0.3:7002@17002 slave {SECOND} ")
    assert lines[FAILED].split(" ")[2] == "master,fail"
    assert all(line.split(" ")[7] == "disconnected" for node_id, line in lines.items() if node_id != ME)
    assert len(lines) == 5


def test_replicas_of_a_primary(five: WholeNode) -> None:
    (line,) = five("CLUSTER", "REPLICAS", SECOND)
    assert line.decode().startswith(f"{REPLICA} 10.0.0.3:7002@17002 slave {SECOND} ")
    assert five("CLUSTER", "SLAVES", SECOND) == [line]
    assert five("CLUSTER", "REPLICAS", FAILED) == []
    assert five.error("CLUSTER", "REPLICAS", REPLICA) == "ERR The specified node is not a master"
    assert five.error("CLUSTER", "REPLICAS", "nobody") == "ERR Unknown node nobody"
    assert five("CLUSTER", "COUNT-FAILURE-REPORTS", SECOND) == 0
    assert five.error("CLUSTER", "COUNT-FAILURE-REPORTS", "nobody") == "ERR Unknown node nobody"


def hear_of(monkeypatch: pytest.MonkeyPatch, node: WholeNode, offsets: dict[str, int]) -> None:
    """Let the node know how much data these nodes have."""
    view = node.core_bridge.view
    nodes = {
        node_id: dataclasses.replace(one, repl_offset=offsets.get(node_id, 0)) for node_id, one in view.nodes.items()
    }
    monkeypatch.setattr(CoreBridge, "view", dataclasses.replace(view, nodes=nodes))


def test_slots(five: WholeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_of(monkeypatch, five, {REPLICA: 14, MY_REPLICA: 14})
    ranges = {(start, end): nodes for start, end, *nodes in five("CLUSTER", "SLOTS")}
    assert list(ranges) == [(0, 8000), (8001, 16000), (16001, 16382), (16383, 16383)]
    assert ranges[0, 8000] == [
        [b"10.0.0.1", 6379, ME.encode(), [b"hostname", b"one.example"]],
        [b"10.0.0.5", 7004, MY_REPLICA.encode(), [b"hostname", b"five.example"]],
    ]
    assert [node[2] for node in ranges[16383, 16383]] == [SECOND.encode(), REPLICA.encode()]


def test_a_replica_without_data_is_not_offered(five: WholeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by redis-server: until it is heard of what came after its first full sync."""
    assert [len(nodes) for _, _, *nodes in five("CLUSTER", "SLOTS")] == [1, 1, 1, 1]
    hear_of(monkeypatch, five, {REPLICA: 14})
    assert [len(nodes) for _, _, *nodes in five("CLUSTER", "SLOTS")] == [1, 2, 1, 2]
    healths = [
        flat(node)[b"health"] for shard in five("CLUSTER", "SHARDS") for node in flat(shard)[b"nodes"]
    ]
    assert healths == [b"online", b"loading", b"online", b"online", b"fail"]


@pytest.mark.parametrize(
    ("preferred", "endpoints", "metadata"),
    [
        ("ip", [b"10.0.0.1", b"10.0.0.2"], [b"hostname", b"one.example"]),
        ("hostname", [b"one.example", b"?"], [b"ip", b"10.0.0.1"]),
        ("unknown-endpoint", [None, None], [b"ip", b"10.0.0.1", b"hostname", b"one.example"]),
    ],
)
def test_the_endpoint_that_is_preferred(
    tmp_path: Path, preferred: str, endpoints: list[bytes | None], metadata: list[bytes]
) -> None:
    node = make(tmp_path, cluster_preferred_endpoint_type=preferred)
    found = node("CLUSTER", "SLOTS")
    assert [found[0][2][0], found[1][2][0]] == endpoints
    assert found[0][2][3] == metadata
    first = flat(flat(node("CLUSTER", "SHARDS")[0])[b"nodes"][0])
    assert first[b"endpoint"] == (endpoints[0] or b"")


def test_shards(five: WholeNode) -> None:
    shards = [flat(shard) for shard in five("CLUSTER", "SHARDS")]
    assert [shard[b"slots"] for shard in shards] == [[0, 8000], [8001, 16000, 16383, 16383], [16001, 16382]]
    members = [[flat(node) for node in shard[b"nodes"]] for shard in shards]
    assert [[node[b"role"] for node in shard] for shard in members] == [
        [b"master", b"replica"], [b"master", b"replica"], [b"master"],
    ]
    assert members[0][0] == {
        b"id": ME.encode(), b"port": 6379, b"ip": b"10.0.0.1", b"endpoint": b"10.0.0.1", b"hostname": b"one.example",
        b"role": b"master", b"replication-offset": 0, b"health": b"online",
    }
    assert members[2][0][b"health"] == b"fail"


def test_maps_are_maps_in_resp3(five: WholeNode) -> None:
    five("HELLO", 3)
    assert five("CLUSTER", "SLOTS")[0][2][3] == {b"hostname": b"one.example"}
    shard = five("CLUSTER", "SHARDS")[0]
    assert shard[b"slots"] == [0, 8000]
    assert shard[b"nodes"][0][b"id"] == ME.encode()


def test_info_counts_slots_by_the_health_of_their_owners(five: WholeNode) -> None:
    found = info(five)
    assert {name: found[f"cluster_{name}"] for name in (
        "state", "slots_assigned", "slots_ok", "slots_pfail", "slots_fail", "known_nodes", "size", "current_epoch",
        "my_epoch",
    )} == {
        "state": "fail", "slots_assigned": "16384", "slots_ok": "16002", "slots_pfail": "0", "slots_fail": "382",
        "known_nodes": "5", "size": "3", "current_epoch": "9", "my_epoch": "3",
    }  # fmt: skip


def test_links(five: WholeNode) -> None:
    five.core_bridge.facts = [
        LinkFacts(SECOND, True, START_MS, 0), LinkFacts(None, False, START_MS, 0),
        LinkFacts(REPLICA, False, START_MS + 5, 70),
    ]
    first, second = (flat(link) for link in five("CLUSTER", "LINKS"))
    assert first == {
        b"direction": b"to", b"node": SECOND.encode(), b"create-time": START_MS, b"events": b"r",
        b"send-buffer-allocated": 0, b"send-buffer-used": 0,
    }
    assert (second[b"direction"], second[b"events"], second[b"send-buffer-used"]) == (b"from", b"rw", 70)


def test_keys_in_slots(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("cluster-enabled", "yes")).serve_all()
    slot = node("CLUSTER", "KEYSLOT", "{tag}1")
    assert slot == node("CLUSTER", "KEYSLOT", "tag") == 8338
    node("MSET", "{tag}1", "a", "{tag}2", "b", "{tag}3", "c")
    assert node("CLUSTER", "COUNTKEYSINSLOT", slot) == 3
    assert set(node("CLUSTER", "GETKEYSINSLOT", slot, 10)) == {b"{tag}1", b"{tag}2", b"{tag}3"}
    assert len(node("CLUSTER", "GETKEYSINSLOT", slot, 2)) == 2
    assert node("CLUSTER", "GETKEYSINSLOT", slot, 0) == []
    assert node.error("CLUSTER", "COUNTKEYSINSLOT", 16384) == "ERR Invalid slot"
    assert node.error("CLUSTER", "GETKEYSINSLOT", slot, -1) == "ERR Invalid slot or number of keys"


def test_redirects_follow_the_view(five: WholeNode) -> None:
    """`foo` is in 12182, the second node's; 16001 and up are a failed node's, so all is down."""
    assert five.error("GET", "foo") == "CLUSTERDOWN The cluster is down"


def test_readonly_is_of_cluster_nodes(node: InProcessNode, cluster_node: InProcessNode) -> None:
    for word in ("ASKING", "READONLY", "READWRITE"):
        assert cluster_node(word) == b"OK"
        assert node.error(word) == "ERR This instance has cluster support disabled"


@pytest.mark.parametrize("word", ["INFO", "NODES", "SLOTS", "SHARDS", "LINKS", "MYID", "MYSHARDID", "KEYSLOT a"])
def test_without_a_cluster_there_is_nothing_to_see(node: InProcessNode, word: str) -> None:
    assert node.error("CLUSTER", *word.split()) == "ERR This instance has cluster support disabled"

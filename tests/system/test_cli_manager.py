"""redis-cli --cluster drives a cluster: create, look, reshard, rebalance, grow, shrink, import, back up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.clusters import Cluster, cli_batch, redis_cli
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

KEY_COUNT = 600


@pytest.fixture(scope="module")
def cluster(shared_harness: Harness) -> Cluster:
    """Three primaries with keys in them; the tests below change it in ways that do not hinder each other."""
    cluster = Cluster.create(shared_harness, 3)
    cli_batch(cluster.servers[0], *[f"SET key:{number} {number}" for number in range(KEY_COUNT)])
    return cluster


def _require_all_keys(cluster: Cluster) -> None:
    answers = cli_batch(cluster.servers[0], *[f"GET key:{number}" for number in range(KEY_COUNT)])
    assert answers == [str(number) for number in range(KEY_COUNT)]


def _slot_count(cluster: Cluster, server: Server) -> int:
    return cluster.member(server).slot_count


def test_create_gives_each_primary_a_replica(harness: Harness) -> None:
    servers = [harness.server() for _ in range(6)]
    addresses = [server.address for server in servers]
    redis_cli("--cluster", "create", *addresses, "--cluster-replicas", 1, "--cluster-yes")
    cluster = Cluster(harness, servers)
    cluster.wait_whole()
    assert len(cluster.primaries()) == 3
    assert all(len(cluster.replicas_of(primary)) == 1 for primary in cluster.primaries())
    assert "[OK] All 16384 slots covered." in cluster.cli("check", "@")
    refused = redis_cli("--cluster", "create", *addresses[:3], "--cluster-yes", check=False)
    assert "is not empty" in refused


def test_what_create_made_takes_writes_at_once(harness: Harness) -> None:
    servers = [harness.server() for _ in range(3)]
    redis_cli("--cluster", "create", *[server.address for server in servers], "--cluster-yes")
    answers = []
    for server in servers:
        with server.client() as client:
            answers += client.pipeline(("SET", "key", "v"))
    assert sorted(str(answer).partition(" ")[0] for answer in answers) == ["MOVED", "MOVED", "OK"]


def test_check_info_and_call(cluster: Cluster) -> None:
    check = cluster.cli("check", "@")
    assert "[OK] All nodes agree about slots configuration." in check
    assert f"[OK] {KEY_COUNT} keys in 3 masters." in cluster.cli("info", "@")
    answers = cluster.cli("call", "@", "DBSIZE")
    assert sum(int(line.split()[-1]) for line in answers.splitlines() if "127.0.0.1" in line) == KEY_COUNT


def test_set_timeout_reaches_every_node(cluster: Cluster) -> None:
    assert "3 OK" in cluster.cli("set-timeout", "@", 2500)
    for server in cluster.servers:
        assert server.call("CONFIG", "GET", "cluster-node-timeout") == ["cluster-node-timeout", "2500"]
    cluster.cli("set-timeout", "@", 2000)


def test_reshard_moves_slots_with_their_keys(cluster: Cluster) -> None:
    source, target = cluster.servers[:2]
    before = _slot_count(cluster, target)
    cluster.cli(
        "reshard", "@", "--cluster-from", source.text("CLUSTER", "MYID"), "--cluster-to",
        target.text("CLUSTER", "MYID"), "--cluster-slots", 100, "--cluster-yes", "--cluster-pipeline", 20,
    )  # fmt: skip
    cluster.wait_whole()
    assert _slot_count(cluster, target) == before + 100
    _require_all_keys(cluster)


def test_rebalance_by_weight(cluster: Cluster) -> None:
    heavy = cluster.servers[2]
    weight = f"{heavy.text('CLUSTER', 'MYID')}=1.05"  # a few slots show as much as many
    cluster.cli("rebalance", "@", "--cluster-weight", weight, "--cluster-pipeline", 50)
    cluster.wait_whole()
    assert abs(_slot_count(cluster, heavy) - 5640) <= 4
    _require_all_keys(cluster)
    cluster.cli("rebalance", "@", "--cluster-pipeline", 50)
    cluster.wait_whole()
    _require_all_keys(cluster)


def test_a_primary_and_a_replica_come_and_go(cluster: Cluster) -> None:
    new_primary, new_replica = cluster.harness.server(), cluster.harness.server()
    cluster.cli("add-node", new_primary.address, "@")
    everyone = [*cluster.servers, new_primary]
    cluster.wait_whole(servers=everyone)
    primary_id = new_primary.text("CLUSTER", "MYID")
    weight = f"{primary_id}=0.05"
    cluster.cli(
        "rebalance", "@", "--cluster-use-empty-masters", "--cluster-weight", weight, "--cluster-pipeline", 50
    )
    cluster.wait_whole(servers=everyone)
    assert abs(_slot_count(cluster, new_primary) - 268) <= 4
    _require_all_keys(cluster)

    cluster.cli("add-node", new_replica.address, "@", "--cluster-slave", "--cluster-master-id", primary_id)
    cluster.wait_whole(servers=[*everyone, new_replica])
    assert cluster.member(new_replica).primary_id == primary_id

    refused = cluster.cli("del-node", "@", primary_id, check=False)
    assert "is not empty" in refused
    replica_id = new_replica.text("CLUSTER", "MYID")
    cluster.cli("del-node", "@", replica_id)
    wait_until(lambda: new_replica.info()["cluster_enabled"] == "1", 10, "the removed replica answers again")
    wait_until(lambda: len(cluster.view(new_replica)) == 1, 10, "the removed replica stands alone")
    assert new_replica.call("DBSIZE") == 0
    if cluster.harness.kind == "ours":  # redis-server's other nodes know nothing of it for a minute
        cluster.cli("add-node", new_replica.address, "@", "--cluster-slave", "--cluster-master-id", primary_id)
        cluster.wait_whole(20, servers=[*everyone, new_replica])
        cluster.cli("del-node", "@", replica_id)

    cluster.cli("rebalance", "@", "--cluster-weight", f"{primary_id}=0", "--cluster-pipeline", 50)
    cluster.wait_whole(servers=everyone)
    assert _slot_count(cluster, new_primary) == 0
    cluster.cli("del-node", "@", primary_id)
    cluster.wait_whole()
    assert all(len(cluster.view(server)) == 3 for server in cluster.servers)
    _require_all_keys(cluster)


def test_fix_completes_an_interrupted_reshard(cluster: Cluster) -> None:
    key = "key:7"
    source = cluster.owner(key)
    target = next(server for server in cluster.servers if server is not source)
    slot = source.call("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.text("CLUSTER", "MYID"))
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.text("CLUSTER", "MYID"))
    source.call("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    assert "open slots" in cluster.cli("check", "@", check=False)
    cluster.cli("fix", "@")
    cluster.wait_whole()
    assert "[OK] All 16384 slots covered." in cluster.cli("check", "@")
    assert not any(member.open_slots for server in cluster.servers for member in cluster.view(server).values())
    _require_all_keys(cluster)


def test_fix_gives_unserved_slots_to_somebody(cluster: Cluster) -> None:
    server = cluster.servers[0]
    slot = cluster.member(server).slots[0][0]
    for other in cluster.servers:
        other.call("CLUSTER", "DELSLOTS", slot)
    assert "Not all 16384 slots are covered" in cluster.cli("check", "@", check=False)
    redis_cli("--cluster", "fix", server.address, stdin="yes\n")
    cluster.wait_whole()
    _require_all_keys(cluster)


def test_import_takes_the_keys_of_a_plain_server(cluster: Cluster) -> None:
    plain = cluster.harness.server({"cluster-enabled": "no"})
    with plain.client() as client:
        client.pipeline(*[("SET", f"imported:{number}", number) for number in range(50)])
        client.call("RPUSH", "imported:list", "a", "b", "c")
        client.call("SET", "imported:expiring", "x", "EX", 1000)
    cluster.cli("import", "@", "--cluster-from", plain.address, "--cluster-copy")
    assert plain.call("DBSIZE") == 52
    assert [cluster.get(f"imported:{number}") for number in range(50)] == [str(number) for number in range(50)]
    assert cluster.owner("imported:list").call("LRANGE", "imported:list", 0, -1) == ["a", "b", "c"]
    remaining = cluster.owner("imported:expiring").call("TTL", "imported:expiring")
    assert isinstance(remaining, int)
    assert 0 < remaining <= 1000
    plain.end()


def test_backup_writes_a_dump_of_each_primary(cluster: Cluster, tmp_path: Path) -> None:
    cluster.cli("backup", "@", str(tmp_path))
    assert len(list(tmp_path.glob("*.rdb"))) == 3
    described = json.loads((tmp_path / "nodes.json").read_text())
    assert {node["port"] for node in described} == {server.port for server in cluster.servers}

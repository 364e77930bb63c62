"""INFO: its sections, and figures that move when something happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode

DEFAULT = [
    "Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats", "Cluster",
    "Keyspace",
]


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def facts(node: InProcessNode, *sections: str) -> dict[str, str]:
    text = node("INFO", *sections).decode()
    lines = [line for line in text.split("\r\n") if line and not line.startswith("#")]
    return dict(line.split(":", 1) for line in lines)


def titles(node: InProcessNode, *sections: str) -> list[str]:
    return [line[2:] for line in node("INFO", *sections).decode().split("\r\n") if line.startswith("# ")]


def test_sections(whole: WholeNode) -> None:
    assert titles(whole) == DEFAULT
    assert titles(whole, "default") == DEFAULT
    assert titles(whole, "everything") == titles(whole, "all") == [
        *DEFAULT[:8], "Commandstats", DEFAULT[8], "Latencystats", *DEFAULT[9:]
    ]
    assert titles(whole, "KEYSPACE", "cpu", "cpu") == ["CPU", "Keyspace"]
    assert titles(whole, "nonsense") == []


def test_it_is_verbatim_text_in_resp3(node: InProcessNode) -> None:
    node("HELLO", 3)
    assert node.client.raw("INFO", "cluster") == b"=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"


def test_server(whole: WholeNode) -> None:
    whole.advance(90_061_000)
    found = facts(whole, "server")
    assert (found["redis_version"], found["redis_mode"], found["tcp_port"]) == ("7.2.4", "standalone", "6379")
    assert (found["uptime_in_seconds"], found["uptime_in_days"]) == ("90061", "1")
    assert found["run_id"] == "0" * 40


def test_clients(node: InProcessNode) -> None:
    waiting, gone = node.connect(), node.connect()
    waiting("BLPOP", "queue", 5)
    found = facts(node, "clients")
    assert (found["connected_clients"], found["blocked_clients"]) == ("3", "1")
    assert found["clients_in_timeout_table"] == "1"
    node.server.disconnect(gone.session)
    node("RPUSH", "queue", "x")
    found = facts(node, "clients")
    assert (found["connected_clients"], found["blocked_clients"]) == ("2", "0")


def test_memory(whole: WholeNode) -> None:
    whole("CONFIG", "SET", "maxmemory", "3mb", "maxmemory-policy", "allkeys-lfu")
    found = facts(whole, "memory")
    assert (found["maxmemory"], found["maxmemory_human"]) == ("3145728", "3.00M")
    assert found["maxmemory_policy"] == "allkeys-lfu"
    assert {"used_memory", "used_memory_rss", "used_memory_peak", "used_memory_dataset", "mem_fragmentation_ratio",
            "total_system_memory"} <= found.keys()  # fmt: skip


def test_persistence(whole: WholeNode) -> None:
    whole("SET", "a", "1")
    assert facts(whole, "persistence")["rdb_changes_since_last_save"] == "1"
    whole.advance(10_000)
    assert whole("SAVE") == b"OK"
    found = facts(whole, "persistence")
    assert (found["rdb_changes_since_last_save"], found["rdb_last_bgsave_status"]) == ("0", "ok")
    assert found["rdb_last_save_time"] == str(whole("LASTSAVE")) == str(whole.now_ms // 1000)
    assert (found["loading"], found["aof_enabled"]) == ("0", "0")


def test_hits_and_misses(node: InProcessNode) -> None:
    node("SET", "a", "1")
    node("GET", "a")
    node("MGET", "a", "b")
    node("EXISTS", "b")
    node("SET", "b", "1")
    found = facts(node, "stats")
    assert (found["keyspace_hits"], found["keyspace_misses"]) == ("2", "2")


def test_expired_and_processed(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 1)
    node.advance(5)
    node("GET", "a")
    found = facts(node, "stats")
    assert found["expired_keys"] == "1"
    assert found["total_commands_processed"] == "2"
    assert found["total_connections_received"] == "1"


def test_payloads_that_were_looked_through(node: InProcessNode) -> None:
    node("SET", "a", "x")
    node("RESTORE", "b", 0, node("DUMP", "a"))
    assert facts(node, "stats")["dump_payload_sanitizations"] == "1"


def test_errors_are_counted_by_code(node: InProcessNode) -> None:
    node("SET", "a", "x")
    node("INCR", "a")
    node("LPUSH", "a", "x")
    node("NONSENSE")
    found = facts(node, "errorstats")
    assert found == {"errorstat_ERR": "count=2", "errorstat_WRONGTYPE": "count=1"}
    assert facts(node, "stats")["total_error_replies"] == "3"


def test_calls_are_counted_by_command(node: InProcessNode) -> None:
    def figures(name: str) -> dict[str, str]:
        return dict(part.split("=") for part in facts(node, "commandstats")[f"cmdstat_{name}"].split(","))

    node("SET", "a", "x")
    node("SET", "a", "y")
    node("INCR", "a")
    node("CONFIG", "GET", "port")
    node("AUTH", "secret")
    assert figures("set")["calls"] == "2"
    assert (figures("incr")["calls"], figures("incr")["failed_calls"]) == ("1", "1")
    assert figures("config|get")["calls"] == "1"
    assert "cmdstat_get" not in facts(node, "commandstats")
    assert list(figures("set")) == ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"]


def test_what_was_rejected_is_told_from_what_failed(cluster_node: InProcessNode) -> None:
    cluster_node("MGET", "a", "b")
    shown = facts(cluster_node, "commandstats")["cmdstat_mget"]
    assert shown == "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0"


def test_the_keyspace_by_database(node: InProcessNode) -> None:
    assert facts(node, "keyspace") == {}
    node("MSET", "a", 1, "b", 2)
    node("PEXPIRE", "a", 5000)
    node("SELECT", 3)
    node("SET", "c", "3")
    assert facts(node, "keyspace") == {
        "db0": "keys=2,expires=1,avg_ttl=5000,subexpiry=0", "db3": "keys=1,expires=0,avg_ttl=0,subexpiry=0",
    }  # fmt: skip
    node("FLUSHALL")
    assert facts(node, "keyspace") == {}


def test_replication_of_a_primary(whole: WholeNode) -> None:
    found = facts(whole, "replication")
    assert (found["role"], found["connected_slaves"], found["master_repl_offset"]) == ("master", "0", "0")
    assert len(found["master_replid"]) == 40
    assert whole("DEBUG", "CHANGE-REPL-ID") == b"OK"
    assert facts(whole, "replication")["master_replid"] != found["master_replid"]


def test_replication_of_a_replica(whole: WholeNode) -> None:
    assert whole("REPLICAOF", "10.0.0.1", 7000) == b"OK"
    found = facts(whole, "replication")
    assert (found["role"], found["master_host"], found["master_port"]) == ("slave", "10.0.0.1", "7000")
    assert (found["master_link_status"], found["slave_read_only"]) == ("down", "1")
    assert whole("ROLE")[:3] == [b"slave", b"10.0.0.1", 7000]
    assert whole.error("SET", "a", "1") == "READONLY You can't write against a read only replica."
    assert whole("SLAVEOF", "NO", "ONE") == b"OK"
    assert facts(whole, "replication")["role"] == "master"
    assert whole("ROLE") == [b"master", 0, []]


def test_cluster(cluster_node: InProcessNode) -> None:
    assert facts(cluster_node, "cluster") == {"cluster_enabled": "1"}
    assert cluster_node("INFO", "keyspace") == b"# Keyspace\r\n"

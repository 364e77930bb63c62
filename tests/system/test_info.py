"""INFO beside redis-server's: the same names, but for what is left out on purpose; and counts that go by batches."""

from __future__ import annotations

import socket

import pytest

from cluster.bringup.client import info_fields
from tests.system.harness import Harness, Server, ServerKind
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

_C_ONLY = "it is about C: how redis-server was compiled"
_ALLOCATOR = "Python's allocator tells nothing of this kind, and the figures of malloc know only a part of the memory"
LEFT_OUT = {
    "gcc_version": _C_ONLY,
    "atomicvar_api": _C_ONLY,
    "allocator_active": _ALLOCATOR,
    "allocator_allocated": _ALLOCATOR,
    "allocator_resident": _ALLOCATOR,
    "allocator_frag_bytes": _ALLOCATOR,
    "allocator_frag_ratio": _ALLOCATOR,
    "allocator_rss_bytes": _ALLOCATOR,
    "allocator_rss_ratio": _ALLOCATOR,
}
"""Fields of redis-server 7.0 that this node does not show, and why."""


def facts(server: Server, section: str) -> dict[str, str]:
    text = server.call("INFO", section)
    assert isinstance(text, str)
    return info_fields(text)


def figure(server: Server, name: str) -> int:
    return int(facts(server, "stats")[name])


@pytest.fixture
def ours(harness: Harness, server_kind: ServerKind) -> Harness:
    if server_kind != "ours":
        pytest.skip("it compares this node with redis-server, or says how this node counts")
    return harness


def test_all_fields_of_redis_server_are_there_or_left_out_for_a_reason(ours: Harness) -> None:
    names = []
    kinds: tuple[ServerKind, ...] = ("ours", "redis")
    for kind in kinds:
        server = ours.server(kind=kind)
        server.call("PING")
        names.append(set(facts(server, "everything")))
    assert names[1] - names[0] == set(LEFT_OUT)


def test_reads_and_writes_are_counted_by_chunks_not_by_commands(ours: Harness) -> None:
    server = ours.server()
    with server.client() as asking, socket.create_connection(("127.0.0.1", server.port)) as client:

        def counted() -> tuple[int, int]:
            found = info_fields(asking.text("INFO", "stats"))
            return int(found["total_reads_processed"]), int(found["total_writes_processed"])

        asking.call("PING")
        reads, writes = counted()
        client.sendall(b"PING\r\n" * 50)
        heard = 0
        while heard < len(b"+PONG\r\n") * 50:
            heard += len(client.recv(65536))
        after_pings = counted()
        assert reads + 2 <= after_pings[0] < reads + 20
        assert writes + 2 <= after_pings[1] < writes + 20
        client.sendall(b"PI")
        wait_until(lambda: " qbuf=2 " in asking.text("CLIENT", "LIST"), 10, "half of a command to arrive")
        # What asks here is answered each time it is read, and half of a command is not.
        reads, writes = counted()
        assert (reads - writes) - (after_pings[0] - after_pings[1]) == 1


def test_a_snapshot_is_a_fork(ours: Harness) -> None:
    server = ours.server()
    assert figure(server, "total_forks") == 0
    server.call("BGSAVE")
    assert figure(server, "total_forks") == 1


def test_the_expiry_cycle_takes_time(ours: Harness) -> None:
    server = ours.server({"hz": "500"})
    wait_until(lambda: figure(server, "expire_cycle_cpu_milliseconds") > 0, 20, "a millisecond of expiry")


def test_rates_of_replication(ours: Harness) -> None:
    primary = ours.server({"cluster-enabled": "no"})
    replica = ours.server({"cluster-enabled": "no", "replicaof": f"127.0.0.1 {primary.port}"})

    def flows() -> bool:
        primary.call("SET", "a", "x" * 10_000)
        sent = facts(primary, "stats")["instantaneous_output_repl_kbps"]
        return float(sent) > 0 and float(facts(replica, "stats")["instantaneous_input_repl_kbps"]) > 0

    wait_until(flows, 20, "a rate of what the replica gets")


def test_the_main_thread_is_a_part_of_the_process(ours: Harness) -> None:
    found = {name: float(value) for name, value in facts(ours.server(), "cpu").items()}
    for kind in ("sys", "user"):
        assert 0 < found[f"used_cpu_{kind}_main_thread"] <= found[f"used_cpu_{kind}"] + 0.01


def test_where_clients_connect(ours: Harness) -> None:
    server = ours.server({"bind": "127.0.0.1 -::1", "unixsocket": "node.sock"})
    shown = facts(server, "server")
    assert shown["listener0"] == f"name=tcp,bind=127.0.0.1,bind=-::1,port={server.port}"
    assert shown["listener1"] == "name=unix,bind=node.sock"

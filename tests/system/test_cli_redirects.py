"""redis-cli -c follows MOVED and ASK; without -c a client sees the redirects themselves."""

from __future__ import annotations

import re

import pytest

from tests.system.clusters import Cluster, cli_batch, redis_cli
from tests.system.harness import Harness, Server

pytestmark = pytest.mark.system

KEYS = [f"redirect:{number}" for number in range(30)]


def _slot(server: Server, key: str) -> int:
    slot = server.call("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return slot


def test_every_key_is_reached_through_any_node(shared_cluster: Cluster) -> None:
    for server in shared_cluster.servers:
        written = cli_batch(server, *[f"SET {key} {number}" for number, key in enumerate(KEYS)])
        assert written == ["OK"] * len(KEYS)
        read = cli_batch(server, *[f"GET {key}" for key in KEYS])
        assert read == [str(number) for number in range(len(KEYS))]


def test_a_redirect_names_the_slot_and_its_owner(shared_cluster: Cluster) -> None:
    key = KEYS[0]
    owner = shared_cluster.owner(key)
    for server in shared_cluster.servers:
        answer = redis_cli("-p", server.port, "SET", key, "x", check=False).strip()
        if server is owner:
            assert answer == "OK"
        else:
            assert answer == f"MOVED {_slot(owner, key)} 127.0.0.1:{owner.port}"


def test_keys_of_two_slots_do_not_go_together(shared_cluster: Cluster) -> None:
    answer = redis_cli("-c", "-p", shared_cluster.servers[0].port, "MSET", "a", "1", "b", "2", check=False)
    assert answer.startswith("CROSSSLOT Keys in request don't hash to the same slot")
    tagged = redis_cli("-c", "-p", shared_cluster.servers[0].port, "MSET", "{t}a", "1", "{t}b", "2")
    assert tagged.strip() == "OK"


def test_a_replica_serves_reads_after_readonly(shared_cluster: Cluster) -> None:
    key = KEYS[1]
    owner = shared_cluster.owner(key)
    replica = shared_cluster.replicas_of(owner)[0]
    with owner.client() as client:
        client.call("SET", key, "seen")
        assert client.call("WAIT", 1, 5000) == 1
    with replica.client() as client:
        assert isinstance(client.pipeline(("GET", key))[0], Exception)
        client.call("READONLY")
        assert client.call("GET", key) == "seen"
        refused = client.pipeline(("SET", key, "no"))[0]
        assert re.match(r"MOVED \d+ ", str(refused))
        client.call("READWRITE")
        assert str(client.pipeline(("GET", key))[0]).startswith("MOVED")


def test_ask_is_followed_while_a_slot_moves(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3)
    source = cluster.owner("{moving}1")
    target = next(server for server in cluster.servers if server is not source)
    slot = _slot(source, "{moving}1")
    for number in range(4):
        source.call("SET", f"{{moving}}{number}", number)
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.text("CLUSTER", "MYID"))
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.text("CLUSTER", "MYID"))
    source.call("MIGRATE", "127.0.0.1", target.port, "{moving}1", 0, 5000)

    plain = redis_cli("-p", source.port, "GET", "{moving}1", check=False).strip()
    assert plain == f"ASK {slot} 127.0.0.1:{target.port}"
    assert redis_cli("-c", "-p", source.port, "GET", "{moving}1").strip() == "1"
    assert redis_cli("-c", "-p", source.port, "SET", "{moving}new", "5").strip() == "OK"
    assert target.call("CLUSTER", "COUNTKEYSINSLOT", slot) == 2

    split = redis_cli("-p", source.port, "MGET", "{moving}1", "{moving}2", check=False)
    assert split.startswith("TRYAGAIN Multiple keys request during rehashing of slot")
    assert redis_cli("-p", target.port, "GET", "{moving}1", check=False).startswith(f"MOVED {slot} ")
    with target.client() as client:
        client.call("ASKING")
        assert client.call("GET", "{moving}1") == "1"
    assert redis_cli("-p", source.port, "GET", "{moving}2").strip() == "2"

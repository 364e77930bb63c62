"""What an operator does to a server while a script runs for long, and what its effects reach."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.bringup.client import Argument, ReplyError, RespClient
from cluster.keyspace.hashing import key_slot
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import ALONE, DEADLINE_S, PAIRS, Pair
from tests.system.test_scripts import BUSY, is_busy, refusal
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

QUICK = {**ALONE, "busy-reply-threshold": "100"}
FINITE = """
    local function now() local t = redis.call('time') return t[1] + t[2] / 1e6 end
    redis.call('set', KEYS[1], 'half')
    local from = now()
    repeat until now() - from > 1.5
    redis.call('set', KEYS[2], 'whole')
"""
READING = "while true do redis.call('ping') end"
WRITING = "redis.call('set', 'half', 1) while true do redis.call('get', 'k') end"


@contextmanager
def running(server: Server, script: str, *keys: str) -> Iterator[RespClient]:
    """While it runs, and has run long enough for others to hear BUSY: the client that waits for it."""
    with server.client(timeout_s=DEADLINE_S) as waiting, server.client() as asking:
        waiting.send("EVAL", script, len(keys), *keys)
        wait_until(lambda: is_busy(asking), DEADLINE_S, "it is busy")
        yield waiting


def test_a_shutdown_waits_for_what_a_script_has_begun(harness: Harness) -> None:
    server = harness.server({**QUICK, "save": "3600 1"})
    server.call("SET", "k", "v")
    with running(server, FINITE, "a", "b"):
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
    server.start()
    assert server.call("MGET", "k", "a", "b") == ["v", "half", "whole"]


def test_a_shutdown_ends_a_script_that_only_reads(harness: Harness) -> None:
    server = harness.server({**QUICK, "save": "3600 1"}, kind="ours")  # redis-server waits for ever
    server.call("SET", "k", "v")
    with running(server, READING):
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
    server.start()
    assert server.call("GET", "k") == "v"


def test_what_a_script_has_written_by_half_is_not_kept(harness: Harness) -> None:
    directives = {**QUICK, "appendonly": "yes", "shutdown-timeout": "1"}
    server = harness.server(directives, kind="ours")  # redis-server waits for ever
    server.call("SET", "k", "v")
    with running(server, WRITING):
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
    assert "had written" in server.log()
    server.start()
    assert server.call("MGET", "k", "half") == ["v", None]


def test_a_shutdown_without_a_save_waits_for_nothing(harness: Harness) -> None:
    server = harness.server(QUICK)
    with running(server, WRITING):
        assert refusal(server, "SHUTDOWN") == BUSY
        with server.client() as client:
            client.send("SHUTDOWN", "NOSAVE")
            server.wait_end()


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_a_replica_that_comes_meanwhile_has_the_whole(harness: Harness, kinds: tuple[ServerKind, ServerKind]) -> None:
    pair = Pair(*(harness.server(QUICK, kind=kind) for kind in kinds))
    with running(pair.primary, FINITE, "a", "b") as waiting:
        pair.replica.call("REPLICAOF", pair.primary.host, pair.primary.port)
        assert waiting.receive() is None
    pair.catch_up()
    assert pair.replica.call("MGET", "a", "b") == ["half", "whole"]
    assert pair.digests()[0] == pair.digests()[1]


def test_a_log_is_not_turned_on_meanwhile(harness: Harness) -> None:
    server = harness.server(QUICK)
    with running(server, FINITE, "a", "b") as waiting:
        assert refusal(server, "CONFIG", "SET", "appendonly", "yes") == BUSY
        assert refusal(server, "BGREWRITEAOF") == BUSY
        assert waiting.receive() is None
    server.call("CONFIG", "SET", "appendonly", "yes")
    wait_until(
        lambda: server.info("persistence")["aof_rewrite_in_progress"] == "0"
        and server.info("persistence")["aof_last_bgrewrite_status"] == "ok", DEADLINE_S, "there is a base",
    )  # fmt: skip
    server.call("SET", "c", "later")
    server.call("CONFIG", "REWRITE")
    server.kill()
    server.start()
    assert server.call("MGET", "a", "b", "c") == ["half", "whole", "later"]


def test_a_log_that_is_being_rewritten_has_the_whole(harness: Harness) -> None:
    server = harness.server({**QUICK, "appendonly": "yes"})
    server.call("DEBUG", "POPULATE", 50_000)
    server.call("BGREWRITEAOF")
    with running(server, FINITE, "a", "b") as waiting:
        assert waiting.receive() is None
    wait_until(lambda: server.info("persistence")["aof_rewrite_in_progress"] == "0", DEADLINE_S, "it is rewritten")
    server.kill()
    server.start()
    assert server.call("MGET", "a", "b") == ["half", "whole"]


# -- moving keys ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(shared_harness: Harness) -> Cluster:
    return Cluster.create(shared_harness, 3, 0, {"busy-reply-threshold": "100"})


def migrated(source: Server, target: Server, *keys: Argument) -> object:
    return source.call("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *keys)


def test_keys_do_not_go_to_a_node_that_is_busy(cluster: Cluster) -> None:
    source = cluster.owner("{m}")
    target = next(server for server in cluster.servers if server is not source)
    slot = key_slot(b"m")
    source.call("MSET", "{m}1", "one", "{m}2", "two")
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.text("CLUSTER", "MYID"))
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.text("CLUSTER", "MYID"))
    with running(target, READING) as waiting:
        with pytest.raises(ReplyError, match="Target instance replied with error: BUSY"):
            migrated(source, target, "{m}1", "{m}2")
        target.call("SCRIPT", "KILL")
        assert "killed" in str(waiting.receive())
    assert source.call("MGET", "{m}1", "{m}2") == ["one", "two"]
    with running(source, READING) as waiting:
        with pytest.raises(ReplyError, match="BUSY"):
            migrated(source, target, "{m}1", "{m}2")
        source.call("SCRIPT", "KILL")
        assert "killed" in str(waiting.receive())
    assert migrated(source, target, "{m}1", "{m}2") == "OK"
    assert source.call("DBSIZE") == 0
    with target.client() as client:
        client.call("ASKING")
        assert client.call("MGET", "{m}1", "{m}2") == ["one", "two"]


# -- whom effects reach --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
def test_effects_reach_whom_the_script_names(harness: Harness, kinds: tuple[ServerKind, ServerKind]) -> None:
    script = """
        redis.set_repl(redis.REPL_AOF) redis.call('set', 'file', 1)
        redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'replica', 1)
        redis.set_repl(redis.REPL_NONE) redis.call('set', 'nobody', 1)
        redis.set_repl(redis.REPL_ALL) redis.call('set', 'all', 1)
    """
    primary = harness.server({**ALONE, "appendonly": "yes"}, kind=kinds[0])
    pair = Pair(primary, harness.server(ALONE, kind=kinds[1]))
    pair.join()
    primary.call("EVAL", script, 0)
    pair.catch_up()
    names = ("file", "replica", "nobody", "all")
    assert primary.call("MGET", *names) == ["1"] * 4
    assert pair.replica.call("MGET", *names) == [None, "1", None, "1"]
    primary.kill()
    primary.start()
    assert primary.call("MGET", *names) == ["1", None, None, "1"]

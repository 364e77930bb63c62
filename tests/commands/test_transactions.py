"""Transactions: all or nothing, unless a watched key has changed; and in a cluster, of one slot that is served here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hiredis
import pytest

from cluster.keyspace.hashing import key_slot
from cluster.protocol.replies import request
from tests.commands.in_process import Client, InProcessNode, view_of_one
from tests.commands.whole import WholeNode

EXECABORT = "EXECABORT Transaction discarded because of previous errors."
CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
OTHER = "3" * 40


def move_slot(node: InProcessNode, key: str, state: str) -> int:
    """Let another node own the slot of `key` (`gone`), or be on its way there or here."""
    view = view_of_one()
    me = view.nodes[view.my_id]
    slot = key_slot(key.encode())
    other = dataclasses.replace(me, node_id=OTHER, port=7001, slots=())
    if state in ("gone", "importing"):
        other = dataclasses.replace(other, slots=((slot, slot),))
        me = dataclasses.replace(me, slots=((0, slot - 1), (slot + 1, 16383)))
    owners = list(view.owners)
    owners[slot] = view.my_id if state == "migrating" else OTHER
    node.server.router.update(
        dataclasses.replace(
            view, nodes={me.node_id: me, OTHER: other}, owners=owners,
            migrating={slot: OTHER} if state == "migrating" else {},
            importing={slot: OTHER} if state == "importing" else {},
        )
    )
    return slot


def test_commands_wait_for_exec(node: InProcessNode) -> None:
    other = node.connect()
    node("MULTI")
    assert node("SET", "a", "1") == b"QUEUED"
    assert node("INCR", "a") == b"QUEUED"
    assert other("GET", "a") is None
    assert node("EXEC") == [b"OK", 2]
    assert other("GET", "a") == b"2"


def sent_at_once(client: Client, *lines: str) -> list[bytes]:
    """The replies to commands that come in one chunk, as a pipelining client sends them."""
    client.session.receive(b"".join(request([word.encode() for word in line.split()]) for line in lines))
    return client.received().split(b"\r\n")[:-1]


def test_a_transaction_in_one_chunk_is_one(node: InProcessNode) -> None:
    lines = ("GET a", "MULTI", "SET a 1", "GET a", "EXEC", "GET a")
    assert sent_at_once(node.client, *lines) == [
        b"$-1", b"+OK", b"+QUEUED", b"+QUEUED", b"*2", b"+OK", b"$1", b"1", b"$1", b"1",
    ]  # fmt: skip
    assert sent_at_once(node.client, "MULTI", "SET a 2", "DISCARD", "GET a")[-1] == b"1"


def test_asking_holds_for_a_command_that_a_pause_held_up(cluster_node: InProcessNode) -> None:
    move_slot(cluster_node, "coming", "importing")
    pause = cluster_node.server.pause
    pause.start("failover", cluster_node.now_ms + 5_000, writes_only=True)
    cluster_node("ASKING")
    assert cluster_node.client.raw("SET", "coming", "v") == b""
    pause.stop("failover")
    assert cluster_node.client.received() == b"+OK\r\n"
    assert cluster_node.error("SET", "coming", "v").startswith("MOVED ")


def test_asking_in_one_chunk_holds_for_one_command(cluster_node: InProcessNode) -> None:
    move_slot(cluster_node, "coming", "importing")
    assert sent_at_once(cluster_node.client, "ASKING", "GET coming", "GET coming")[1:] == [
        b"$-1", f"-MOVED {key_slot(b'coming')} 127.0.0.1:7001".encode(),
    ]  # fmt: skip
    assert sent_at_once(cluster_node.client, "ASKING", "GET here", "GET coming")[1:] == [
        b"$-1", f"-MOVED {key_slot(b'coming')} 127.0.0.1:7001".encode(),
    ]  # fmt: skip


def test_discard_forgets_them(node: InProcessNode) -> None:
    node("MULTI")
    node("SET", "a", "1")
    assert node("DISCARD") == b"OK"
    assert node("GET", "a") is None
    assert node.error("DISCARD") == "ERR DISCARD without MULTI"
    assert node.error("EXEC") == "ERR EXEC without MULTI"


def test_an_error_while_queueing_aborts(node: InProcessNode) -> None:
    node("MULTI")
    node("SET", "a", "1")
    assert node.error("NONSENSE").startswith("ERR unknown command 'NONSENSE'")
    assert node.error("EXEC") == EXECABORT
    assert node("GET", "a") is None
    assert node("SET", "a", "1") == b"OK"


def test_an_error_while_running_stops_nothing(node: InProcessNode) -> None:
    node("MULTI")
    node("SET", "a", "x")
    node("INCR", "a")
    node("APPEND", "a", "y")
    first, second, third = node("EXEC")
    assert (first, third) == (b"OK", 2)
    assert isinstance(second, hiredis.ReplyError)


def test_transactions_do_not_nest(node: InProcessNode) -> None:
    node("MULTI")
    assert node.error("MULTI") == "ERR MULTI calls can not be nested"
    assert node.error("WATCH", "a") == "ERR WATCH inside MULTI is not allowed"
    node("PING")
    assert node("EXEC") == [b"PONG"]


def test_an_exec_refused_ends_the_transaction(node: InProcessNode) -> None:
    node("MULTI")
    node("SET", "a", "1")
    assert node.error("EXEC", "now") == (
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    )
    assert node.error("EXEC") == "ERR EXEC without MULTI"


def test_replicas_are_told_of_one_transaction(node: InProcessNode) -> None:
    node("MULTI")
    node("SET", "a", "1")
    node("GET", "a")
    node("SET", "b", "2")
    assert node.journaled("EXEC") == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SET", b"b", b"2"], [b"EXEC"]]


def test_waiting_is_not_done_in_a_transaction(node: InProcessNode) -> None:
    node("MULTI")
    node("BLPOP", "queue", 0)
    assert node("EXEC") == [None]


# -- WATCH -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["SET a 2", "DEL a", "APPEND a x", "EXPIRE a 100", "RENAME a b", "FLUSHALL", "PERSIST a", "GETDEL a"],
)
def test_a_change_by_another_fails_it(node: InProcessNode, change: str) -> None:
    node("SET", "a", "1", "EX", 1000)
    node("WATCH", "a")
    node.connect()(*change.split())
    node("MULTI")
    node("SET", "won", "yes")
    assert node("EXEC") is None
    assert node("EXISTS", "won") == 0
    node("MULTI")
    assert node("EXEC") == []


@pytest.mark.parametrize("harmless", ["GET a", "TTL a", "SET other 1", "TOUCH a", "DEL missing", "SETNX a 2"])
def test_what_changes_nothing_does_not(node: InProcessNode, harmless: str) -> None:
    node("SET", "a", "1")
    node("WATCH", "a")
    node.connect()(*harmless.split())
    node("MULTI")
    node("PING")
    assert node("EXEC") == [b"PONG"]


def test_unwatch_and_discard_forget(node: InProcessNode) -> None:
    for forget in (("UNWATCH",), ("MULTI", "DISCARD")):
        node("WATCH", "a")
        for word in forget:
            node(word)
        node.connect()("SET", "a", "1")
        node("MULTI")
        assert node("EXEC") == []


def test_a_watched_key_that_expires_fails_it(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 10)
    node("WATCH", "a")
    node.advance(20)
    node("MULTI")
    node("PING")
    assert node("EXEC") is None


def test_a_key_that_had_expired_before_does_not(node: InProcessNode) -> None:
    node.server.active_expiry = False
    node("SET", "a", "1", "PX", 10)
    node.advance(20)
    node("WATCH", "a")
    node("MULTI")
    node("PING")
    assert node("EXEC") == [b"PONG"]


def test_a_watch_is_of_its_database(node: InProcessNode) -> None:
    node("WATCH", "a")
    other = node.connect()
    other("SELECT", 1)
    other("SET", "a", "1")
    node("MULTI")
    assert node("EXEC") == []


# -- in a cluster ------------------------------------------------------------------------------------------------


def test_a_transaction_is_of_one_slot(cluster_node: InProcessNode) -> None:
    cluster_node("MULTI")
    cluster_node("SET", "a", "1")
    cluster_node("SET", "b", "1")
    assert cluster_node.error("EXEC") == CROSSSLOT
    assert cluster_node.error("EXEC") == "ERR EXEC without MULTI"
    assert cluster_node("EXISTS", "a") == 0


def test_a_command_of_two_slots_aborts(cluster_node: InProcessNode) -> None:
    cluster_node("MULTI")
    assert cluster_node.error("MGET", "a", "b") == CROSSSLOT
    assert cluster_node.error("EXEC") == EXECABORT


def test_a_redirect_while_queueing_aborts(cluster_node: InProcessNode) -> None:
    slot = move_slot(cluster_node, "a", "gone")
    cluster_node("MULTI")
    assert cluster_node.error("GET", "a") == f"MOVED {slot} 127.0.0.1:7001"
    assert cluster_node.error("EXEC") == EXECABORT


def test_a_slot_that_leaves_before_exec_redirects_it(cluster_node: InProcessNode) -> None:
    cluster_node("MULTI")
    assert cluster_node("SET", "a", "1") == b"QUEUED"
    slot = move_slot(cluster_node, "a", "gone")
    assert cluster_node.error("EXEC") == f"MOVED {slot} 127.0.0.1:7001"
    assert cluster_node.error("EXEC") == "ERR EXEC without MULTI"


def test_keys_of_a_migrating_slot_go_together(cluster_node: InProcessNode) -> None:
    cluster_node("SET", "{t}here", "1")
    slot = move_slot(cluster_node, "{t}", "migrating")
    cluster_node("MULTI")
    cluster_node("GET", "{t}here")
    assert cluster_node("EXEC") == [b"1"]
    cluster_node("MULTI")
    cluster_node("GET", "{t}here")
    assert cluster_node.error("GET", "{t}gone") == f"ASK {slot} 127.0.0.1:7001"
    assert cluster_node.error("EXEC") == EXECABORT


def test_a_key_that_migrates_before_exec_asks_to_try_again(cluster_node: InProcessNode) -> None:
    cluster_node("MSET", "{t}a", "1", "{t}b", "1")
    cluster_node("MULTI")
    cluster_node("GET", "{t}a")
    cluster_node("GET", "{t}b")
    move_slot(cluster_node, "{t}", "migrating")
    cluster_node.connect()("DEL", "{t}b")
    assert cluster_node.error("EXEC") == "TRYAGAIN Multiple keys request during rehashing of slot"


def test_asking_before_multi_holds_for_the_transaction(cluster_node: InProcessNode) -> None:
    slot = move_slot(cluster_node, "a", "importing")
    for _ in range(2):
        cluster_node("ASKING")
        cluster_node("MULTI")
        assert cluster_node("SET", "a", "1") == b"QUEUED"
        assert cluster_node("GET", "a") == b"QUEUED"
        assert cluster_node("EXEC") == [b"OK", b"1"]
        assert cluster_node.error("GET", "a") == f"MOVED {slot} 127.0.0.1:7001"


def test_exec_and_what_it_runs_are_accounted_for(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    node.server.times.slow_ns = 0
    client = node.connect()
    node("SLOWLOG", "RESET")
    for command in (("MULTI",), ("SET", "a", 1), ("LPUSH", "a", 1), ("EXEC",)):
        client.raw(*command)
    slow = [entry[3] for entry in node("SLOWLOG", "GET")]
    assert slow[:3] == [[b"LPUSH", b"a", b"1"], [b"SET", b"a", b"1"], [b"MULTI"]]
    lines = node("INFO", "commandstats").decode().splitlines()
    counts = {line.partition(":")[0]: line.split(",")[0].partition("=")[2] for line in lines[1:]}
    assert [counts[f"cmdstat_{name}"] for name in ("multi", "set", "lpush", "exec")] == ["1"] * 4


def test_clients_are_listed_with_the_command_they_sent_last(node: InProcessNode) -> None:
    client = node.connect()

    def listed() -> bytes:
        line: bytes = node("CLIENT", "LIST", "ID", client.session.id)
        fields = dict(field.split(b"=", 1) for field in line.split())
        return fields[b"cmd"] + b" " + fields[b"multi"]

    shown = []
    for command in (("MULTI",), ("GETDEL", "a"), ("EXEC",), ("SET", "a"), ("NONSENSE",), ("CLIENT", "NONSENSE")):
        client.raw(*command)
        shown.append(listed())
    assert shown == [b"multi 0", b"getdel 1", b"exec -1", b"set -1", b"NULL -1", b"NULL -1"]


def test_nothing_is_queued_that_will_not_be_run(node: InProcessNode) -> None:
    client = node.connect()
    client("WATCH", "a")
    client("MULTI")
    node("SET", "a", 1)
    assert client("SET", "b", "x") == b"QUEUED"
    assert b" multi=0 " in node("CLIENT", "LIST", "ID", client.session.id)
    assert client("EXEC") is None

"""CLUSTER, changing: what each subcommand does to this node's view, and every refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bus import events
from cluster.keyspace.hashing import key_slot
from tests.commands.test_cluster_views import FAILED, ME, MY_REPLICA, REPLICA, SECOND, flat, info, make
from tests.commands.whole import WholeNode

BAD_SLOT = "ERR Invalid or out of range slot"
BAD_SETSLOT = "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"


@pytest.fixture
def single(tmp_path: Path) -> WholeNode:
    """A new node that knows no other."""
    return WholeNode(tmp_path, ("cluster-enabled", "yes"))


@pytest.fixture
def five(tmp_path: Path) -> WholeNode:
    return make(tmp_path)


def my_slots(node: WholeNode) -> list[str]:
    """The slots this node shows as its own, open ones included."""
    mine: str = node("CLUSTER", "NODES").decode().splitlines()[0]
    return mine.split(" ")[8:]


# -- slots -------------------------------------------------------------------------------------------------------


def test_slots_are_added_and_deleted(single: WholeNode) -> None:
    assert single("CLUSTER", "ADDSLOTS", 1, 2, 3, 9) == b"OK"
    assert single("CLUSTER", "ADDSLOTSRANGE", 20, 30, 40, 40) == b"OK"
    assert my_slots(single) == ["1-3", "9", "20-30", "40"]
    assert single("CLUSTER", "DELSLOTS", 2, 9) == b"OK"
    assert single("CLUSTER", "DELSLOTSRANGE", 20, 25) == b"OK"
    assert my_slots(single) == ["1", "3", "26-30", "40"]
    assert single("CLUSTER", "FLUSHSLOTS") == b"OK"
    assert my_slots(single) == []


def test_of_keys_in_several_slots_the_first_has_to_be_served_by_somebody(tmp_path: Path) -> None:
    """`foo` is in 12182, `bar` in 5061."""
    single = WholeNode(tmp_path, ("cluster-enabled", "yes"), ("cluster-require-full-coverage", "no"))
    single("CLUSTER", "ADDSLOTSRANGE", 0, 8000)
    single.tick(5_000)
    assert single("GET", "bar") is None
    assert single.error("MGET", "foo", "bar") == "CLUSTERDOWN Hash slot not served"
    assert single.error("MGET", "bar", "foo") == "CROSSSLOT Keys in request don't hash to the same slot"
    single("MULTI")
    assert single("GET", "bar") == b"QUEUED"
    assert single.error("MGET", "foo", "bar") == "CLUSTERDOWN Hash slot not served"
    assert single.error("EXEC").startswith("EXECABORT ")
    single("MULTI")
    assert single("GET", "bar") == single("GET", "b") == b"QUEUED"
    assert single.error("EXEC") == "CROSSSLOT Keys in request don't hash to the same slot"


def test_a_node_serves_once_all_slots_are_somebody_s(single: WholeNode) -> None:
    assert single.error("SET", "a", "1") == "CLUSTERDOWN Hash slot not served"
    single("CLUSTER", "ADDSLOTSRANGE", 0, 16382)
    single.tick(5_000)
    assert single.error("SET", "a", "1") == "CLUSTERDOWN The cluster is down"
    single("CLUSTER", "ADDSLOTS", 16383)
    single.tick(5_000)
    assert single("SET", "a", "1") == b"OK"
    assert info(single)["cluster_state"] == "ok"


def test_a_list_of_slots_is_taken_whole_or_not_at_all(single: WholeNode) -> None:
    single("CLUSTER", "ADDSLOTS", 5)
    for command, error in (
        ("ADDSLOTS 1 5", "ERR Slot 5 is already busy"),
        ("ADDSLOTS 1 1", "ERR Slot 1 specified multiple times"),
        ("ADDSLOTS 1 x", BAD_SLOT),
        ("ADDSLOTS 1 16384", BAD_SLOT),
        ("ADDSLOTSRANGE 1 5", "ERR Slot 5 is already busy"),
        ("ADDSLOTSRANGE 3 1", "ERR start slot number 3 is greater than end slot number 1"),
        ("ADDSLOTSRANGE 1 2 3", "ERR wrong number of arguments for 'cluster|addslotsrange' command"),
        ("DELSLOTS 5 6", "ERR Slot 6 is already unassigned"),
        ("DELSLOTSRANGE 5 6", "ERR Slot 6 is already unassigned"),
        ("DELSLOTS -1", BAD_SLOT),
    ):
        assert single.error("CLUSTER", *command.split()) == error
        assert my_slots(single) == ["5"]


def test_slots_with_keys_are_not_flushed(single: WholeNode) -> None:
    single.serve_all()
    single("SET", "a", "1")
    assert single.error("CLUSTER", "FLUSHSLOTS") == "ERR DB must be empty to perform CLUSTER FLUSHSLOTS."


# -- moving a slot -----------------------------------------------------------------------------------------------


def test_setslot_opens_and_closes(five: WholeNode) -> None:
    assert five("CLUSTER", "SETSLOT", 7, "MIGRATING", SECOND) == b"OK"
    assert five("CLUSTER", "SETSLOT", 9000, "importing", SECOND) == b"OK"
    assert my_slots(five) == ["0-8000", f"[5->-{SECOND}]", f"[7->-{SECOND}]", f"[9000-<-{SECOND}]"]
    for slot in (5, 7, 9000):
        assert five("CLUSTER", "SETSLOT", slot, "STABLE") == b"OK"
    assert my_slots(five) == ["0-8000"]


def test_setslot_node_gives_away_or_takes(five: WholeNode) -> None:
    assert five("CLUSTER", "SETSLOT", 0, "NODE", SECOND) == b"OK"
    five("CLUSTER", "SETSLOT", 9000, "IMPORTING", SECOND)
    assert five("CLUSTER", "SETSLOT", 9000, "NODE", ME) == b"OK"
    assert my_slots(five) == ["1-8000", "9000", f"[5->-{SECOND}]"]
    assert int(info(five)["cluster_my_epoch"]) == 10


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (f"0 IMPORTING {SECOND}", "ERR I'm already the owner of hash slot 0"),
        (f"9000 MIGRATING {SECOND}", "ERR I'm not the owner of hash slot 9000"),
        ("0 MIGRATING nobody", "ERR I don't know about node nobody"),
        ("9000 IMPORTING nobody", "ERR I don't know about node nobody"),
        ("0 NODE nobody", "ERR Unknown node nobody"),
        (f"0 MIGRATING {REPLICA}", "ERR Target node is not a master"),
        (f"0 NODE {REPLICA}", "ERR Target node is not a master"),
        ("0 NONSENSE", BAD_SETSLOT),
        ("0 NODE", BAD_SETSLOT),
        ("0 STABLE more", BAD_SETSLOT),
        ("16384 STABLE", BAD_SLOT),
    ],
)
def test_what_setslot_refuses(five: WholeNode, command: str, error: str) -> None:
    assert five.error("CLUSTER", "SETSLOT", *command.split()) == error


def test_a_slot_with_keys_is_not_given_away(five: WholeNode) -> None:
    slot = five("CLUSTER", "KEYSLOT", "b")
    five.server.databases[0].store(b"b", b"1")
    assert five.error("CLUSTER", "SETSLOT", slot, "NODE", SECOND) == (
        f"ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
    )


# -- nodes -------------------------------------------------------------------------------------------------------


def test_meet_begins_a_handshake(single: WholeNode) -> None:
    assert single("CLUSTER", "MEET", "10.0.0.9", 7009) == b"OK"
    assert single("CLUSTER", "MEET", "::1", 7010, 27010) == b"OK"
    single.tick(100)
    lines = single("CLUSTER", "NODES").decode().splitlines()[1:]
    assert [line.split(" ")[1:3] for line in lines] == [
        ["10.0.0.9:7009@17009", "handshake"], ["::1:7010@27010", "handshake"],
    ]
    wanted = [(one.ip, one.bus_port) for one in single.core_bridge.sent if isinstance(one, events.Connect)]
    assert wanted == [("10.0.0.9", 17009), ("::1", 27010)]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("10.0.0.9 x", "ERR Invalid TCP base port specified: x"),
        ("10.0.0.9 7000 x", "ERR Invalid TCP bus port specified: x"),
        ("nowhere 7000", "ERR Invalid node address specified: nowhere:7000"),
        ("fe80::1%a,b 7000", "ERR Invalid node address specified: fe80::1%a,b:7000"),
        ("10.0.0.9 0", "ERR Invalid node address specified: 10.0.0.9:0"),
        ("10.0.0.9 60000", "ERR Invalid node address specified: 10.0.0.9:60000"),
    ],
)
def test_what_meet_refuses(single: WholeNode, command: str, error: str) -> None:
    assert single.error("CLUSTER", "MEET", *command.split()) == error


def test_forget(five: WholeNode) -> None:
    assert five("CLUSTER", "FORGET", FAILED) == b"OK"
    assert FAILED not in five("CLUSTER", "NODES").decode()
    assert five("CLUSTER", "FORGET", FAILED) == b"OK"
    assert five.error("CLUSTER", "FORGET", "nobody") == "ERR Unknown node nobody"
    assert five.error("CLUSTER", "FORGET", ME) == "ERR I tried hard but I can't forget myself..."


def test_replicate_wants_an_empty_node_without_slots(five: WholeNode) -> None:
    refused = "ERR To set a master the node must be empty and without assigned slots."
    assert five.error("CLUSTER", "REPLICATE", SECOND) == refused
    assert five.error("CLUSTER", "REPLICATE", "nobody") == "ERR Unknown node nobody"
    assert five.error("CLUSTER", "REPLICATE", ME) == "ERR Can't replicate myself"
    assert five.error("CLUSTER", "REPLICATE", REPLICA) == "ERR I can only replicate a master, not a replica."


def test_a_replica_follows_and_is_refused_what_primaries_do(five: WholeNode) -> None:
    five("CLUSTER", "FLUSHSLOTS")
    assert five("CLUSTER", "REPLICATE", SECOND) == b"OK"
    assert five("ROLE")[:3] == [b"slave", b"10.0.0.2", 7001]
    assert f"{ME} 10.0.0.1:6379@16379,one.example myself,slave {SECOND} " in five("CLUSTER", "NODES").decode()
    assert five("CLUSTER", "MYSHARDID") == SECOND.encode()
    assert five.error("CLUSTER", "SETSLOT", 1, "STABLE") == "ERR Please use SETSLOT only with masters."
    assert five.error("CLUSTER", "FORGET", SECOND) == "ERR Can't forget my master!"
    shard = next(flat(one) for one in five("CLUSTER", "SHARDS") if flat(one)[b"slots"][:1] == [8001])
    assert len(shard[b"nodes"]) == 3


def test_failover_is_for_replicas(five: WholeNode) -> None:
    assert five.error("CLUSTER", "FAILOVER") == "ERR You should send CLUSTER FAILOVER to a replica"
    assert five.error("CLUSTER", "FAILOVER", "NONSENSE") == "ERR syntax error"
    five("CLUSTER", "FLUSHSLOTS")
    five("CLUSTER", "REPLICATE", SECOND)
    assert five.error("CLUSTER", "FAILOVER") == "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"
    assert five("CLUSTER", "FAILOVER", "TAKEOVER") == b"OK"
    assert my_slots(five)[:2] == ["8001-16000", "16383"]
    assert five("ROLE")[0] == b"master"


# -- epochs, the file, starting anew -----------------------------------------------------------------------------


def test_epochs(single: WholeNode) -> None:
    assert single.error("CLUSTER", "SET-CONFIG-EPOCH", -1) == "ERR Invalid config epoch specified: -1"
    assert single("CLUSTER", "SET-CONFIG-EPOCH", 4) == b"OK"
    assert single.error("CLUSTER", "SET-CONFIG-EPOCH", 5) == "ERR Node config epoch is already non-zero"
    assert single("CLUSTER", "BUMPEPOCH") == b"STILL 4"
    assert info(single)["cluster_my_epoch"] == "4"


def test_epochs_among_others(five: WholeNode) -> None:
    assert five.error("CLUSTER", "SET-CONFIG-EPOCH", 4) == (
        "ERR The user can assign a config epoch only when the node does not know any other node."
    )
    assert five("CLUSTER", "BUMPEPOCH") == b"BUMPED 10"
    assert five("CLUSTER", "BUMPEPOCH") == b"STILL 10"


def test_saveconfig_writes_durably(single: WholeNode) -> None:
    single.core_bridge.sent.clear()
    assert single("CLUSTER", "SAVECONFIG") == b"OK"
    (written,) = single.core_bridge.sent
    assert isinstance(written, events.Persist)
    assert written.durable


def test_a_soft_reset_forgets_the_others_and_keeps_the_name(five: WholeNode) -> None:
    assert five("CLUSTER", "RESET") == b"OK"
    assert five("CLUSTER", "MYID") == ME.encode()
    assert (info(five)["cluster_known_nodes"], info(five)["cluster_slots_assigned"]) == ("1", "0")
    assert info(five)["cluster_current_epoch"] == "9"


def test_a_hard_reset_begins_anew(five: WholeNode) -> None:
    assert five("CLUSTER", "RESET", "hard") == b"OK"
    assert five("CLUSTER", "MYID") != ME.encode()
    assert (info(five)["cluster_current_epoch"], info(five)["cluster_my_epoch"]) == ("0", "0")


def test_a_primary_with_keys_is_not_reset(five: WholeNode) -> None:
    five.server.databases[0].store(b"b", b"1")
    assert five.error("CLUSTER", "RESET") == "ERR CLUSTER RESET can't be called with master nodes containing keys"
    assert five.error("CLUSTER", "RESET", "NONSENSE") == "ERR syntax error"


def test_a_replica_s_data_goes_with_its_reset(five: WholeNode) -> None:
    five("CLUSTER", "FLUSHSLOTS")
    five("CLUSTER", "REPLICATE", SECOND)
    five.server.databases[0].store(b"b", b"1")
    assert five("CLUSTER", "RESET") == b"OK"
    assert five("DBSIZE") == 0
    assert five("ROLE")[0] == b"master"
    assert MY_REPLICA not in five("CLUSTER", "NODES").decode()


# -- lost slots --------------------------------------------------------------------------------------------------


def lose(node: WholeNode, slot: int, owner: str) -> None:
    """Let the bus say that a slot is another node's now."""
    view = node.core_bridge.view
    owners = list(view.owners)
    owners[slot] = owner
    node.core_bridge._effects.carry_out(events.ViewChanged(replace(view, owners=owners)))
    node.core_bridge._effects.carry_out(events.DropSlotKeys((slot,)))


def test_keys_of_lost_slots_stay_while_writes_are_paused(five: WholeNode) -> None:
    server = five.server
    slot = key_slot(b"key")
    server.databases[0].store(b"key", b"v")
    server.pause.start("failover", five.now_ms + 5_000, writes_only=True)
    lose(five, slot, SECOND)
    assert (server.databases[0].get(b"key"), server.journal.entries) == (b"v", [])
    server.pause.stop("failover")
    assert server.databases[0].get(b"key") is None
    assert server.journal.entries == [(0, [b"DEL", b"key"])]


def test_what_waited_for_the_end_of_the_pause_is_not_dropped_with_what_was_lost(five: WholeNode) -> None:
    server = five.server
    slot = key_slot(b"key")
    server.databases[0].store(b"{key}old", b"v")
    server.pause.start("doubt", five.now_ms + 5_000, writes_only=True)
    lose(five, slot, SECOND)
    view = five.core_bridge.view
    owners = list(view.owners)
    owners[slot] = SECOND
    view = replace(view, owners=owners, importing={slot: SECOND}, state_ok=True)
    five.core_bridge._effects.carry_out(events.ViewChanged(view))
    client = five.connect()
    client("ASKING")
    assert client.raw("SET", "key", "new") == b""
    server.pause.stop("doubt")
    assert client.received() == b"+OK\r\n"
    assert server.databases[0].get(b"key") == b"new"
    assert server.databases[0].get(b"{key}old") is None


@pytest.mark.parametrize("replica", [False, True])
def test_after_the_pause_only_what_is_still_lost_goes(five: WholeNode, *, replica: bool) -> None:
    server = five.server
    slot = key_slot(b"key")
    server.databases[0].store(b"key", b"v")
    server.pause.start("failover", five.now_ms + 5_000, writes_only=True)
    lose(five, slot, SECOND)
    if replica:
        server.is_replica = True  # its primary will say what becomes of the key
    else:
        lose(five, slot, ME)
    server.pause.stop("failover")
    assert server.databases[0].get(b"key") == b"v"

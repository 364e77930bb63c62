"""Deadlines of the fields of hashes: set and told, fields that nobody sees any more, and what replicas are told."""

from __future__ import annotations

import pytest

from cluster.commands.context import FIELDS_AT_ONCE
from cluster.keyspace.events import Event
from cluster.keyspace.field_expiry import FieldExpiryCycle
from cluster.keyspace.hashing import key_slot
from tests.commands.in_process import START_MS, InProcessNode

FAR = START_MS + 1_000_000


class Events:
    """What is announced of keys, in order."""

    def __init__(self, node: InProcessNode) -> None:
        self.seen: list[tuple[bytes, str]] = []
        node.server.ctx.observed = True
        node.server.announce = self._note  # type: ignore[method-assign, assignment]

    def _note(self, _db: object, key: bytes, event: Event, *, watched: bool = True) -> None:
        if event.kind == "h" or event.name == "del":
            self.seen.append((key, event.name))

    def take(self) -> list[str]:
        seen, self.seen = self.seen, []
        return [name for _, name in seen]


@pytest.fixture
def hashed(node: InProcessNode) -> InProcessNode:
    """`h` has the fields a (which expires in a second), b and c."""
    node("HSET", "h", "a", "1", "b", "2", "c", "3")
    node("HPEXPIRE", "h", 1000, "FIELDS", 1, "a")
    return node


def obeying(node: InProcessNode, *command: str | int) -> None:
    """A command of our primary's."""
    session = node.client.session
    session.is_primary_link = True
    session.refresh()
    node(*command)
    session.is_primary_link = False
    session.refresh()


@pytest.mark.parametrize(
    ("command", "left"),
    [("HEXPIRE h 10", 10_000), ("HPEXPIRE h 10", 10), (f"HEXPIREAT h {START_MS // 1000 + 10}", 10_000),
     (f"HPEXPIREAT h {START_MS + 10}", 10)],
)
def test_the_four_ways(hashed: InProcessNode, command: str, left: int) -> None:
    told = [b"HPEXPIREAT", b"h", b"%d" % (START_MS + left), b"FIELDS", b"2", b"b", b"c"]
    assert hashed.journaled(*command.split(), "FIELDS", 3, "b", "c", "x") == [told]
    assert hashed("HPTTL", "h", "FIELDS", 4, "a", "b", "c", "x") == [1000, left, left, -2]
    assert hashed("HPEXPIRETIME", "h", "FIELDS", 1, "b") == [START_MS + left]
    assert hashed.journaled("HPERSIST", "h", "FIELDS", 1, "b") == [[b"HPERSIST", b"h", b"FIELDS", b"1", b"b"]]
    assert hashed("HTTL", "h", "FIELDS", 1, "b") == [-1]


def test_times_are_told_in_seconds_rounded_up(hashed: InProcessNode) -> None:
    hashed("HPEXPIREAT", "h", START_MS + 1001, "FIELDS", 1, "b")
    assert hashed("HTTL", "h", "FIELDS", 2, "a", "b") == [1, 2]
    assert hashed("HEXPIRETIME", "h", "FIELDS", 2, "a", "b") == [START_MS // 1000 + 1, START_MS // 1000 + 2]


READS = (
    "HGET h a", "HMGET h a b", "HGETALL h", "HKEYS h", "HVALS h", "HLEN h", "HEXISTS h a", "HSTRLEN h a", "HSCAN h 0",
    "HSCAN h 0 NOVALUES", "HRANDFIELD h 10", "HRANDFIELD h 10 WITHVALUES", "HTTL h FIELDS 2 a b",
    "HPEXPIRETIME h FIELDS 1 a",
)  # fmt: skip
WRITES = (
    "HDEL h a", "HGETDEL h FIELDS 1 a", "HGETEX h FIELDS 1 a", "HPERSIST h FIELDS 1 a", "HEXPIRE h 10 FIELDS 1 a",
    "HSETNX h a 1", "HINCRBY h a 1", "HINCRBYFLOAT h a 1", "HSET h a 1 z 2", "HSETEX h FNX KEEPTTL FIELDS 1 a 1",
    "HSETEX h FXX FIELDS 1 a 1", "SORT l BY h->a GET h->a",
)  # fmt: skip


@pytest.mark.parametrize(("role", "commands"), [("primary", READS + WRITES), ("paused", READS), ("replica", READS)])
def test_an_expired_field_is_as_if_it_had_never_been(node: InProcessNode, role: str, commands: tuple[str, ...]) -> None:
    """Beside a hash that never had it."""
    wrong = {}
    for command in commands:
        shown = []
        for fields in (["a", "1", "b", "2", "c", "3"], ["b", "2", "c", "3"]):
            node("FLUSHALL")
            node("RPUSH", "l", 1)
            node("HSET", "h", *fields)
            node("HPEXPIRE", "h", 1000, "FIELDS", 2, "a", "c")
            node("HPERSIST", "h", "FIELDS", 1, "c")
            node.advance(1000)
            if role == "replica":
                node.server.is_replica = True
            elif role == "paused":
                node.server.pause.start("client", node.now_ms + 5000, writes_only=True)
            shown.append((node(*command.split()), sorted(node("HGETALL", "h")), node("HLEN", "h")))
            node.server.is_replica = False
            node.server.pause.stop("client")
        if shown[0] != shown[1]:
            wrong[command] = shown
    assert wrong == {}


def test_the_first_to_look_deletes_what_has_expired(hashed: InProcessNode) -> None:
    events = Events(hashed)
    hashed.advance(1000)
    assert hashed.journaled("HLEN", "h") == [[b"HDEL", b"h", b"a"]]
    assert events.take() == ["hexpired"]
    assert hashed.server.stats.expired_fields == 1
    assert hashed.journaled("HLEN", "h") == []
    hashed("HPEXPIRE", "h", 1, "FIELDS", 2, "b", "c")
    events.take()
    hashed.advance(1)
    assert hashed.journaled("HGET", "h", "b") == [[b"HDEL", b"h", b"b", b"c"]]
    assert events.take() == ["hexpired", "del"]
    assert hashed("EXISTS", "h") == 0


def test_of_very_many_the_first_to_look_deletes_some(node: InProcessNode) -> None:
    """And sees none of them."""
    many = 50 * FIELDS_AT_ONCE
    node("HSET", "h", *(part for number in range(many) for part in (f"f{number}", number)), "stays", "1")
    node("HPEXPIRE", "h", 10, "FIELDS", many, *(f"f{number}" for number in range(many)))
    node.advance(10)
    told = node.journaled("HLEN", "h")
    assert len(told[0]) == 2 + FIELDS_AT_ONCE
    assert node("HLEN", "h") == 1
    assert node("HGETALL", "h") == [b"stays", b"1"]
    assert node("HRANDFIELD", "h", 5) == [b"stays"]
    # Commands that ask for a field by its name have it deleted first, so that replicas find the same.
    last = max(f"f{number}" for number in range(many))
    told = node.journaled("HSETNX", "h", last, "new")
    assert told[0] == [b"MULTI"]
    assert [b"HDEL", b"h", last.encode()] in told
    assert told[-2:] == [[b"HSETNX", b"h", last.encode(), b"new"], [b"EXEC"]]
    assert node("HTTL", "h", "FIELDS", 1, last) == [-1]
    assert node("HDEL", "h", "stays", last) == 2
    assert node("HLEN", "h") == 0


def test_a_hash_goes_when_the_last_of_very_many_does(node: InProcessNode) -> None:
    many = 3 * FIELDS_AT_ONCE
    node("HSET", "h", *(part for number in range(many) for part in (f"f{number}", number)))
    node("HPEXPIRE", "h", 10, "FIELDS", many, *(f"f{number}" for number in range(many)))
    node.advance(10)
    told: list[list[bytes]] = []
    for _ in range(3):
        assert node("EXISTS", "h") == 1
        told += node.journaled("HGET", "h", "f1")
    assert sum(len(command) - 2 for command in told) == many
    assert node("EXISTS", "h") == 0


def test_the_cycle_tells_replicas_and_takes_the_key_with_its_last_field(hashed: InProcessNode) -> None:
    events = Events(hashed)
    server = hashed.server
    cycle = FieldExpiryCycle(server.databases)
    hashed("HPEXPIRE", "h", 2000, "FIELDS", 2, "b", "c")
    events.take()
    for passed, told, seen in ((999, [], []), (1, [[b"HDEL", b"h", b"a"]], ["hexpired"]),
                               (1000, [[b"HDEL", b"h", b"b", b"c"]], ["hexpired", "del"])):  # fmt: skip
        hashed.advance(passed)
        hashed.effects.clear()
        server.start_batch()
        cycle.run(hashed.now_ms, lambda: False, server.expire_fields)
        hashed.end_batch()
        assert hashed.effects == told
        assert events.take() == seen
    assert hashed("EXISTS", "h") == 0


def test_a_replica_waits_for_its_primary_s_word(hashed: InProcessNode) -> None:
    hashed.server.is_replica = True
    hashed.advance(5000)
    assert hashed.journaled("HGET", "h", "a") == []
    assert hashed("HGET", "h", "a") is None
    # The primary's clock may say another time: to what it says, the field is there still.
    obeying(hashed, "HINCRBY", "h", "a", 5)
    obeying(hashed, "HPEXPIREAT", "h", FAR, "FIELDS", 1, "a")
    assert hashed("HGET", "h", "a") == b"6"
    obeying(hashed, "HPEXPIREAT", "h", START_MS - 1, "FIELDS", 1, "b")
    assert hashed("HMGET", "h", "a", "b") == [b"6", None]
    obeying(hashed, "HDEL", "h", "b")
    obeying(hashed, "HDEL", "h", "a", "c")
    assert hashed("EXISTS", "h") == 0


def test_what_is_set_anew_has_no_deadline_and_what_is_changed_keeps_it(hashed: InProcessNode) -> None:
    assert hashed("HINCRBY", "h", "a", 1) == 2
    told = [b"HSETEX", b"h", b"KEEPTTL", b"FIELDS", b"1", b"a", b"3"]
    assert hashed.journaled("HINCRBYFLOAT", "h", "a", 1) == [told]
    assert hashed.journaled("HINCRBYFLOAT", "h", "b", 1) == [[b"HSET", b"h", b"b", b"3"]]
    assert hashed("HPTTL", "h", "FIELDS", 1, "a") == [1000]
    assert hashed("HSETEX", "h", "KEEPTTL", "FIELDS", 1, "a", "4") == 1
    assert hashed("HPTTL", "h", "FIELDS", 1, "a") == [1000]
    assert hashed("HSET", "h", "a", "5") == 0
    assert hashed("HPTTL", "h", "FIELDS", 1, "a") == [-1]
    assert hashed.server.databases[0].fields.earliest() == {}


@pytest.mark.parametrize(
    ("command", "effects", "events"),
    [
        ("HEXPIRE h 0 FIELDS 2 a b", ["HDEL h a b"], ["hdel"]),
        ("HPEXPIREAT h 1 NX FIELDS 3 a b c", ["HDEL h b c"], ["hdel"]),
        ("HPEXPIREAT h 1 FIELDS 3 a b c", ["HDEL h a b c"], ["hdel", "del"]),
        ("HEXPIRE h 10 XX FIELDS 2 a b", [f"HPEXPIREAT h {START_MS + 10_000} FIELDS 1 a"], ["hexpire"]),
        ("HPERSIST h FIELDS 2 a b", ["HPERSIST h FIELDS 2 a b"], ["hpersist"]),
        ("HPERSIST h FIELDS 1 b", [], []),
        ("HGETEX h FIELDS 1 a", [], []),
        ("HGETEX h PERSIST FIELDS 1 a", ["HPERSIST h FIELDS 1 a"], ["hpersist"]),
        ("HGETEX h EX 10 FIELDS 2 b x", [f"HPEXPIREAT h {START_MS + 10_000} FIELDS 1 b"], ["hexpire"]),
        ("HGETEX h PXAT 1 FIELDS 3 a b c", ["HDEL h a b c"], ["hdel", "del"]),
        ("HGETDEL h FIELDS 2 a x", ["HDEL h a x"], ["hdel"]),
        ("HGETDEL h FIELDS 3 a b c", ["HDEL h a b c"], ["hdel", "del"]),
        ("HSETEX h FIELDS 1 a 5", ["HSETEX h FIELDS 1 a 5"], ["hset"]),
        ("HSETEX h FXX PX 7 FIELDS 1 a 5", [f"HSETEX h FXX PXAT {START_MS + 7} FIELDS 1 a 5"], ["hset", "hexpire"]),
        ("HSETEX h EX 0 FIELDS 1 a 5", ["HDEL h a"], ["hset", "hdel"]),
        ("HSETEX n PXAT 1 FIELDS 1 a 5", ["HDEL n a"], ["hset", "hdel", "del"]),
        ("HSETEX h FNX FIELDS 1 a 5", [], []),
    ],
)  # fmt: skip
def test_what_replicas_and_listeners_are_told(
    hashed: InProcessNode, command: str, effects: list[str], events: list[str]
) -> None:
    listening = Events(hashed)
    told = hashed.journaled(*command.split())
    assert [b" ".join(one).decode() for one in told if one not in ([b"MULTI"], [b"EXEC"])] == effects
    assert listening.take() == events


def test_moved_copied_and_replaced_keys_are_known_to_the_cycle(node: InProcessNode) -> None:
    known = node.server.databases[0].fields.earliest
    node("HSETEX", "h", "PXAT", FAR, "FIELDS", 1, "a", "1")
    node("RENAME", "h", "g")
    assert known() == {b"g": FAR}
    node("COPY", "g", "copy")
    assert known() == {b"g": FAR, b"copy": FAR}
    payload = node("DUMP", "g")
    node("DEL", "copy")
    node("SET", "g", "a string")
    assert known() == {}
    node("RESTORE", "r", 0, payload)
    assert known() == {b"r": FAR}
    node("MSET", "r", "a string")
    assert known() == {}
    node("RESTORE", "r", 0, payload, "REPLACE")
    node("PEXPIRE", "r", 100)
    node.advance(100)
    node("GET", "r")
    assert known() == {}
    node("RESTORE", "r", 0, payload)
    node("MOVE", "r", 1)
    assert (known(), node.server.databases[1].fields.earliest()) == ({}, {b"r": FAR})
    node("SWAPDB", 0, 1)
    assert node.server.databases[0].fields.earliest() == {b"r": FAR}
    assert b"db0:keys=1,expires=0,avg_ttl=0,subexpiry=1\r\n" in node("INFO", "keyspace")
    node("FLUSHALL")
    assert node.server.databases[0].fields.earliest() == {}


def test_a_lost_slot_takes_what_the_cycle_knows_along(cluster_node: InProcessNode) -> None:
    cluster_node("HSETEX", "h", "PXAT", FAR, "FIELDS", 1, "a", "1")
    cluster_node("HSETEX", "g", "PXAT", FAR, "FIELDS", 1, "a", "1")
    cluster_node.server.lost_slots.drop([key_slot(b"h")])
    assert cluster_node.server.databases[0].fields.earliest() == {b"g": FAR}


def test_how_it_is_kept(node: InProcessNode) -> None:
    node("HSET", "h", "a", "1")
    assert node("OBJECT", "ENCODING", "h") == b"listpack"
    small = node("MEMORY", "USAGE", "h")
    node("HEXPIRE", "h", 10, "XX", "FIELDS", 1, "a")
    assert node("OBJECT", "ENCODING", "h") == b"listpack"
    node("HEXPIRE", "h", 10, "FIELDS", 1, "a")
    assert node("OBJECT", "ENCODING", "h") == b"listpackex"
    assert node("MEMORY", "USAGE", "h") > small
    node("HSET", "h", "b", "v" * 65)
    assert node("OBJECT", "ENCODING", "h") == b"hashtable"


def test_a_watched_hash_changes_when_a_field_expires(hashed: InProcessNode) -> None:
    other = hashed.connect()
    other("WATCH", "h")
    hashed.advance(1000)
    hashed("HGET", "h", "b")
    other("MULTI")
    other("PING")
    assert other("EXEC") is None


def test_the_key_s_own_deadline_stays(node: InProcessNode) -> None:
    node("HSET", "h", "a", "1")
    node("EXPIRE", "h", 100)
    node("HEXPIRE", "h", 10, "FIELDS", 1, "a")
    assert node("TTL", "h") == 100
    node("RENAME", "h", "g")
    assert (node("TTL", "g"), node("HTTL", "g", "FIELDS", 1, "a")) == (100, [10])

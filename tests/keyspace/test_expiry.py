"""The expire cycle: everything expired is found in the end, and no tick takes longer than it may."""

from __future__ import annotations

import random

from cluster.keyspace.agenda import NEVER
from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.expiry import KEYS_PER_TICK, ExpiryCycle
from cluster.keyspace.hash_value import HashValue
from cluster.replication.loading import Snapshot
from cluster.replication.snapshot_transfer import take_over
from tests.commands.in_process import InProcessNode

NOW = 1_000_000


def fill(db: Database, name: bytes, count: int, deadline: int) -> None:
    for number in range(count):
        db.store(name % number, b"", deadline)


def tick(cycle: ExpiryCycle[Database], out_of_time: bool = False, now: int = NOW) -> int:
    count = 0
    for db, _, key in cycle.due(now, lambda: out_of_time):
        deadline = db.deadline(key)
        assert deadline is not None
        assert deadline <= now
        assert db.delete(key)
        count += 1
    return count


def test_a_burst_is_cleared_at_once_when_there_is_time() -> None:
    db = Database(0)
    fill(db, b"gone:%d", 3 * KEYS_PER_TICK, NOW)
    fill(db, b"{tag}gone:%d", 3000, NOW - 1)
    fill(db, b"stays:%d", 100, NOW + 1)
    cycle = ExpiryCycle([db])
    assert tick(cycle) == 3 * KEYS_PER_TICK + 3000
    assert len(db) == 100


def test_out_of_time_a_tick_ends_soon_and_the_next_goes_on() -> None:
    db = Database(0)
    fill(db, b"gone:%d", 20_000, NOW)
    cycle = ExpiryCycle([db])
    first = tick(cycle, out_of_time=True)
    assert 0 < first < 2_000
    for _ in range(100):
        tick(cycle, out_of_time=True)
    assert not len(db)


def test_a_tick_looks_at_so_many_keys_when_few_have_expired() -> None:
    db = Database(0)
    for slot in range(300):
        fill(db, b"{%d}stays:%%d" % slot, 190, NOW + 10_000)
        db.store(b"{%d}gone" % slot, b"", NOW)
    cycle = ExpiryCycle([db])
    assert 90 < tick(cycle) < 150
    for _ in range(3):
        tick(cycle)
    assert len(db) == 300 * 190


def test_every_database_has_its_turn() -> None:
    databases = [Database(index) for index in range(4)]
    fill(databases[3], b"gone:%d", 10, NOW)
    cycle = ExpiryCycle(databases)
    assert sum(tick(cycle) for _ in range(8)) == 10


def test_an_empty_node_has_nothing_to_do() -> None:
    assert tick(ExpiryCycle([Database(0)])) == 0


def test_a_few_keys_among_very_many_go_at_their_time() -> None:
    db = Database(0)
    fill(db, b"stays:%d", 3 * KEYS_PER_TICK, NOW + 50)
    fill(db, b"gone:%d", 20, NOW)
    assert tick(ExpiryCycle([db])) == 20


def test_what_expired_first_goes_first() -> None:
    db = Database(0)
    times = list(range(NOW - 100, NOW))
    random.Random(3).shuffle(times)
    for number, deadline in enumerate(times):
        db.store(b"%d" % number, b"", deadline)
    cycle = ExpiryCycle([db])
    found = []
    for _, _, key in cycle.due(NOW, lambda: False):
        found.append(db.deadline(key))
        db.delete(key)
    assert found == sorted(times)


def test_it_says_when_to_come_again() -> None:
    db, other = Database(0), Database(1)
    cycle = ExpiryCycle([db, other])
    assert cycle.next_ms == NEVER
    db.store(b"a", b"", NOW + 70)
    other.store(b"b", b"", NOW + 30)
    assert cycle.next_ms == NOW + 30
    assert tick(cycle) == 0
    other.delete(b"b")
    assert tick(cycle, now=NOW + 30) == 0
    assert cycle.next_ms == NOW + 70
    assert tick(cycle, now=NOW + 70) == 1
    assert cycle.next_ms == NEVER


def test_what_the_caller_left_comes_again() -> None:
    db = Database(0)
    fill(db, b"gone:%d", 50, NOW)
    cycle = ExpiryCycle([db])
    for _, _, key in cycle.due(NOW, lambda: False):
        db.delete(key)
        break
    assert tick(cycle) == 49


def test_deadlines_that_are_changed_and_taken_back_cost_nothing_for_ever() -> None:
    """The earlier deadline of one key again and again, as a client that counts down would set it."""
    db = Database(0)
    for step in range(200_000):
        db.store(b"a", b"", NOW + 1_000_000 - step)
    assert db.agenda.pending < 100_000
    db.store(b"a", b"")
    assert tick(ExpiryCycle([db]), now=NOW + 2_000_000) == 0
    assert (db.agenda.pending, bool(db.agenda)) == (0, False)


def test_whenever_a_deadline_is_set_or_taken_back_each_goes_when_it_is_up() -> None:
    dice = random.Random(7)
    for _ in range(20):
        databases = [Database(index) for index in range(dice.choice((1, 3)))]
        cycle = ExpiryCycle(databases)
        now = NOW
        for number in range(2_000):
            # A few slots, of which one becomes large enough to be looked through in portions.
            key = dice.choice((b"{a}%d", b"{b}%d", b"%d")) % dice.choice((number, number % 7))
            dice.choice(databases).store(key, b"", dice.choice((None, now + dice.randrange(1, 40), now + 10_000)))
            if dice.random() < 0.2:
                now += dice.randrange(10)
                tick(cycle, out_of_time=dice.random() < 0.5, now=now)
        for _ in range(60):
            now += 1_000
            tick(cycle, out_of_time=dice.random() < 0.5, now=now)
        assert [db.volatile_count() for db in databases] == [0] * len(databases)


def test_a_slot_of_very_many_is_left_alone_for_a_while_after_a_look() -> None:
    db = Database(0)
    fill(db, b"{tag}stays:%d", 10_000, NOW + 1_000_000)
    db.store(b"{tag}first", b"", NOW)
    cycle = ExpiryCycle([db])
    assert tick(cycle) == 1
    db.store(b"{tag}second", b"", NOW + 1)
    assert tick(cycle, now=NOW + 1) == 0
    assert tick(cycle, now=NOW + 1_000) == 1


def test_deadlines_move_with_their_database() -> None:
    node = InProcessNode()
    node("SET", "a", "1", "PX", 1)
    node("SWAPDB", 0, 1)
    databases = node.server.databases
    assert [bool(db.agenda) for db in databases[:3]] == [False, True, False]
    node.advance(1)
    assert [key for _, _, key in ExpiryCycle(databases).due(node.now_ms, lambda: False)] == [b"a"]
    node("FLUSHALL")
    assert ExpiryCycle(databases).next_ms == NEVER


def test_a_replica_s_new_data_expire_once_it_is_a_primary() -> None:
    server = InProcessNode().server
    fresh = [Database(db.index) for db in server.databases]
    fresh[0].store(b"a", b"", NOW)
    fresh[0].store(b"h", ExpiringHashValue(HashValue([(b"f", b"")]), {b"f": NOW}))
    take_over(server, Snapshot(fresh, [{} for _ in fresh]))
    assert [key for _, _, key in ExpiryCycle(server.databases).due(NOW, lambda: False)] == [b"a"]
    fields = [db.fields for db in server.databases]
    assert [key for _, _, key in ExpiryCycle(fields).due(NOW, lambda: False)] == [b"h"]

"""The expire cycle: everything expired is found in the end, and no tick takes longer than it may."""

from __future__ import annotations

from cluster.keyspace.database import Database
from cluster.keyspace.expiry import KEYS_PER_TICK, ExpiryCycle

NOW = 1_000_000


def fill(db: Database, name: bytes, count: int, deadline: int) -> None:
    for number in range(count):
        db.store(name % number, b"", deadline)


def tick(cycle: ExpiryCycle, out_of_time: bool = False) -> int:
    count = 0
    for db, _, key in cycle.due(NOW, lambda: out_of_time):
        deadline = db.deadline(key)
        assert deadline is not None
        assert deadline <= NOW
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
    fill(db, b"stays:%d", 3 * KEYS_PER_TICK, NOW + 1)
    fill(db, b"gone:%d", 300, NOW)
    cycle = ExpiryCycle([db])
    assert tick(cycle) < 300
    for _ in range(5):
        tick(cycle)
    assert len(db) == 3 * KEYS_PER_TICK


def test_every_database_has_its_turn() -> None:
    databases = [Database(index) for index in range(4)]
    fill(databases[3], b"gone:%d", 10, NOW)
    cycle = ExpiryCycle(databases)
    assert sum(tick(cycle) for _ in range(8)) == 10


def test_an_empty_node_has_nothing_to_do() -> None:
    assert tick(ExpiryCycle([Database(0)])) == 0

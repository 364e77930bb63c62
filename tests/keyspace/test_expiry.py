"""The expire cycle: everything expired is found in the end, and no tick takes longer than it may."""

from __future__ import annotations

import random

from cluster.keyspace.database import Database
from cluster.keyspace.expiry import KEYS_PER_TICK, ExpiryCycle
from tests.commands.in_process import InProcessNode

NOW = 1_000_000
TICKS = 10
"""A lap is taken in so many parts."""


def fill(db: Database, name: bytes, count: int, deadline: int) -> None:
    for number in range(count):
        db.store(name % number, b"", deadline)


def tick(cycle: ExpiryCycle[Database], out_of_time: bool = False, ticks_per_lap: int = 1) -> int:
    count = 0
    for db, _, key in cycle.due(NOW, lambda: out_of_time, ticks_per_lap=ticks_per_lap):
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


def test_few_keys_are_found_within_a_lap_taken_in_parts() -> None:
    db = Database(0)
    fill(db, b"gone:%d", 20, NOW)
    cycle = ExpiryCycle([db])
    found = [tick(cycle, ticks_per_lap=TICKS) for _ in range(TICKS)]
    assert sum(found) == 20
    assert max(found) < 20, "no tick takes it all"


def test_a_database_that_holds_no_deadline_is_left_out_until_it_does() -> None:
    db = Database(0)
    fill(db, b"gone:%d", 1, NOW)
    cycle = ExpiryCycle([db])
    for _ in range(3 * TICKS):
        tick(cycle, ticks_per_lap=TICKS)
    assert not db.may_expire
    fill(db, b"late:%d", 1, NOW)
    assert sum(tick(cycle, ticks_per_lap=TICKS) for _ in range(2 * TICKS)) == 1


def test_whenever_a_deadline_comes_it_is_met_within_two_laps() -> None:
    dice = random.Random(7)
    for _ in range(20):
        databases = [Database(index) for index in range(dice.choice((1, 3)))]
        cycle = ExpiryCycle(databases)
        for number in range(40):
            if dice.random() < 0.1:
                dice.choice(databases).store(b"%d" % number, b"", NOW)
            tick(cycle, ticks_per_lap=TICKS)
        for _ in range(2 * TICKS + 2):
            tick(cycle, ticks_per_lap=TICKS)
        assert [len(db) for db in databases] == [0] * len(databases)


def test_data_that_came_in_without_a_word_are_looked_through_when_told() -> None:
    db, fresh = Database(0), Database(0)
    fill(fresh, b"gone:%d", 5, NOW)
    cycle = ExpiryCycle([db])
    tick(cycle)
    db.spaces[:], db.deadlines[:] = fresh.spaces, fresh.deadlines
    cycle.look_everywhere()
    assert tick(cycle) == 5


def test_commands_say_when_they_set_a_deadline() -> None:
    node = InProcessNode()
    node("SET", "a", "1", "PX", 1)
    node("SWAPDB", 0, 1)
    assert [db.may_expire for db in node.server.databases[:3]] == [False, True, False]

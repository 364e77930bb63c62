"""A hash whose fields have deadlines, beside a plain dict that is asked the same; and the cycle that clears it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cluster.keyspace.database import Database
from cluster.keyspace.expiring_hash import NEVER, ExpiringHashValue
from cluster.keyspace.expiry import KEYS_PER_TICK
from cluster.keyspace.field_expiry import PORTION_FIELDS, FieldExpiryCycle
from cluster.keyspace.hash_value import HashValue
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.sorted_set import SHORT_LIMIT

NOW = 1_000_000
MANY = SHORT_LIMIT + 30

names = st.integers(0, MANY).map(lambda number: b"%d" % number)
moments = st.integers(1, 20)


class Twins(RuleBasedStateMachine):
    """`model`: field → (value, deadline or None). Some runs begin with more fields than a small hash has."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[bytes, tuple[bytes, int | None]] = {}
        self.value = ExpiringHashValue(HashValue())
        self.rng = random.Random(1)

    def alive(self) -> dict[bytes, bytes]:
        return {
            name: content for name, (content, deadline) in self.model.items()
            if deadline is None or deadline > self.value.now_ms
        }  # fmt: skip

    @rule(count=st.integers(1, MANY), deadline=moments)
    def fill(self, count: int, deadline: int) -> None:
        for number in range(count):
            self.set(b"%d" % number, b"filled")
            self.expire(b"%d" % number, deadline + number % 3)

    @rule(name=names, content=st.binary(max_size=3))
    def set(self, name: bytes, content: bytes) -> None:
        is_new = name not in self.alive()
        assert self.value.set(name, content) is is_new
        self.model[name] = (content, None)

    @rule(name=names, content=st.binary(max_size=3))
    def update(self, name: bytes, content: bytes) -> None:
        if name in self.alive():
            assert self.value.update(name, content) is False
            self.model[name] = (content, self.model[name][1])

    @rule(name=names, deadline=moments)
    def expire(self, name: bytes, deadline: int) -> None:
        if name in self.alive():
            self.value.set_deadline(name, deadline)
            self.model[name] = (self.model[name][0], deadline)

    @rule(name=names)
    def persist(self, name: bytes) -> None:
        if name in self.alive():
            assert self.value.clear_deadline(name) is (self.model[name][1] is not None)
            self.model[name] = (self.model[name][0], None)

    @rule(name=names)
    def discard(self, name: bytes) -> None:
        was_there = name in self.alive()
        assert self.value.discard(name) is was_there
        if was_there:
            del self.model[name]

    @rule(now=moments)
    def look_at(self, now: int) -> None:
        self.value.now_ms = now

    @rule(now=moments, limit=st.integers(1, 2 * MANY))
    def take(self, now: int, limit: int) -> None:
        due = [name for name, (_, deadline) in self.model.items() if deadline is not None and deadline <= now]
        taken = self.value.take_expired(now, limit)
        assert len(taken) == min(limit, len(due))
        assert set(taken) <= set(due)
        for name in taken:
            del self.model[name]

    @rule(some=st.lists(names, max_size=4))
    def take_named(self, some: list[bytes]) -> None:
        expired = (self.model.keys() - self.alive().keys()) & set(some)
        assert set(self.value.take_named(some)) == expired
        for name in expired:
            del self.model[name]

    @rule()
    def copy(self) -> None:
        now = self.value.now_ms
        self.value = self.value.copy()
        self.value.now_ms = now

    @invariant()
    def same_is_seen(self) -> None:
        alive, value = self.alive(), self.value
        assert dict(value.items()) == alive
        assert set(value.names()) == set(value.elements()) == alive.keys()
        assert dict(zip(value.names(), value.contents(), strict=True)) == alive
        assert len(value) == len(alive)
        if alive:
            assert value.random_element(self.rng) in alive
        assert dict(value.fields.items()) == {name: content for name, (content, _) in self.model.items()}
        assert bool(value) is bool(self.model)
        for name in (b"0", b"1", b"70"):
            assert value.get(name) == alive.get(name)
            assert (name in value) is (name in alive)
        deadlines = {name: deadline for name, (_, deadline) in self.model.items() if deadline is not None}
        assert value.deadlines() == deadlines
        assert value.next_ms == min(deadlines.values(), default=value.next_ms)
        assert value.hides is any(deadline <= value.now_ms for deadline in deadlines.values())


TestTwins = Twins.TestCase


def expiring(count: int, deadline: int) -> ExpiringHashValue:
    plain = HashValue((b"%d" % number, b"") for number in range(count))
    return ExpiringHashValue(plain, dict.fromkeys(plain.names(), deadline))


class Cycle:
    """The cycle over some databases, and a clock that lets it go on `looks` times a tick."""

    def __init__(self, *databases: Database) -> None:
        self.cycle = FieldExpiryCycle(databases)
        self.told: list[tuple[int, bytes, int]] = []

    def _expired(self, db: Database, key: bytes, value: ExpiringHashValue, fields: list[bytes]) -> None:
        self.told.append((db.index, key, len(fields)))
        assert db.get(key) is value
        if value:
            db.note_fields(key, value)
        else:
            db.delete(key)

    def tick(self, now: int = NOW, looks: int = 1 << 30) -> int:
        """How many fields it took."""
        left = iter(range(looks))
        out_of_time: Callable[[], bool] = lambda: next(left, None) is None  # noqa: E731
        before = len(self.told)
        self.cycle.run(now, out_of_time, self._expired)
        return sum(count for _, _, count in self.told[before:])


def test_a_million_fields_of_one_moment_take_many_ticks() -> None:
    db = Database(0)
    db.store(b"big", expiring(20_000, NOW))
    db.store(b"small", expiring(3, NOW))
    cycle = Cycle(db)
    assert cycle.tick(looks=9) == 10 * PORTION_FIELDS
    assert max(count for _, _, count in cycle.told) == PORTION_FIELDS
    ticks = 1
    while len(db):
        assert cycle.tick(looks=9) > 0
        ticks += 1
    assert ticks == 11
    assert db.fields.earliest() == {}


def test_only_what_is_due_goes() -> None:
    db = Database(0)
    value = expiring(10, NOW + 5)
    value.set_deadline(b"3", NOW)
    db.store(b"h", value)
    db.store(b"later", expiring(2, NOW + 1))
    cycle = Cycle(db)
    assert cycle.tick(NOW - 1) == 0
    assert cycle.tick() == 1
    assert b"3" not in value
    assert db.fields.earliest() == {b"h": NOW + 5, b"later": NOW + 1}
    assert cycle.tick(NOW + 4) == 2
    assert cycle.tick(NOW + 5) == 9
    assert len(db) == 0


def test_all_hashes_are_come_to_however_many_wait() -> None:
    first, second = Database(0), Database(1)
    for number in range(2 * KEYS_PER_TICK):
        first.store(b"waits:%d" % number, expiring(1, NOW + 1))
    second.store(b"due", expiring(1, NOW))
    assert Cycle(first, second).tick() == 1


def test_a_database_knows_which_hashes_have_deadlines() -> None:
    db = Database(0)
    ways: list[Callable[[], object]] = [
        lambda: db.store(b"h", HashValue([(b"f", b"v")])), lambda: db.delete(b"h"), db.clear,
        lambda: db.clear_slot(key_slot(b"h")),
    ]  # fmt: skip
    for way in ways:
        db.store(b"h", expiring(2, NOW))
        assert db.fields.earliest() == {b"h": NOW}
        way()
        assert db.fields.earliest() == {}


@pytest.mark.parametrize("count", [3, 40, 2 * MANY])
def test_a_hash_that_takes_over_keeps_what_was_there(count: int) -> None:
    plain = HashValue((b"%d" % number, b"v" * 70) for number in range(count))
    value = ExpiringHashValue(plain)
    assert (value.peak_count, value.peak_bytes) == (count, 70)
    assert dict(value.items()) == {b"%d" % number: b"v" * 70 for number in range(count)}
    for number in range(count - 1):
        value.set_deadline(b"%d" % number, NOW)
    value.now_ms = NOW
    rng = random.Random(1)
    assert {value.random_element(rng) for _ in range(5)} == {b"%d" % (count - 1)}


@pytest.mark.parametrize("count", [1, 3000])
def test_the_last_deadline_may_go_and_another_come(count: int) -> None:
    value = expiring(count, NOW)
    for number in range(count):
        assert value.clear_deadline(b"%d" % number)
    assert (value.next_ms, value.deadlines()) == (NEVER, {})
    assert value.take_expired(NOW, 10) == []
    value.set_deadline(b"0", NOW + 1)
    assert value.take_expired(NOW + 1, 10) == [b"0"]
    assert len(value) == count - 1


def test_what_is_taken_apart_is_counted() -> None:
    parts = list(expiring(3000, NOW).take_apart())
    assert sum(parts) >= 3000
    assert max(parts) < 1000

"""A snapshot that is made in the process is of the moment in which it began, whatever is written meanwhile."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.persistence import walk as walk_module
from cluster.persistence.child import SnapshotChild
from cluster.persistence.rdb_reader import load_rdb
from cluster.persistence.rdb_writer import dump_payload
from tests.commands.whole import WholeNode
from tests.differential.grammar import Command, Commands
from tests.differential.grammar_collections import HASHES, LISTS, SETS, SORTED_SETS
from tests.differential.grammar_generic import EXPIRY, GENERIC, SORTING
from tests.differential.grammar_geo import GEO
from tests.differential.grammar_hash_deadlines import HASH_DEADLINES
from tests.differential.grammar_streams import STREAMS
from tests.differential.grammar_strings import BITMAPS, HYPERLOGLOGS, STRINGS

Content = dict[tuple[int, bytes], tuple[bytes, int | None]]
ANY: Commands = st.one_of(
    STRINGS, BITMAPS, HYPERLOGLOGS, LISTS, HASHES, HASH_DEADLINES, SETS, SORTED_SETS, GEO, STREAMS, GENERIC,
    EXPIRY, SORTING,
)  # fmt: skip
STEPS = st.one_of(ANY, ANY, ANY, st.integers(0, 3), st.sampled_from([1_000, 100_000]).map(float))
"""A command, so many looks at the time for the walk, or milliseconds that pass."""
EVERYTHING = 1 << 40
NOT_HERE = {b"FLUSHALL", b"FLUSHDB", b"SWAPDB", b"SHUTDOWN", b"SAVE", b"BGSAVE", b"MIGRATE", b"DEBUG", b"SELECT"}
"""What ends a walk has tests of its own."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> WholeNode:
    directives = (("cluster-enabled", "no"), ("databases", "2"), ("bgsave-method", "in-process"))
    return WholeNode(tmp_path_factory.mktemp("walk"), *directives)


@pytest.fixture(autouse=True, scope="module")
def _small_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk_module, "KEYS_BETWEEN_LOOKS", 1)
        patch.setattr(walk_module, "LARGE_ELEMENTS", 2)
        yield


def content(node: WholeNode) -> Content:
    return {
        (db.index, key): (dump_payload(value, node.server.config), deadline)
        for db in node.server.databases for key, value, deadline in db.items()
    }  # fmt: skip


def saved(node: WholeNode) -> Content:
    data = node.server.persistence.path.read_bytes()
    return {
        (one.db, one.key): (dump_payload(one.value, node.server.config), one.deadline_ms)
        for one in load_rdb(io.BytesIO(data))
    }


def after(looks: int) -> Callable[[], bool]:
    left = iter(range(looks))
    return lambda: next(left, None) is None


def finish(node: WholeNode) -> None:
    persistence = node.server.persistence
    persistence.walk_on(after(EVERYTHING))
    for _ in count():
        persistence.tick(node.now_ms)
        if not persistence.in_background:
            return


@pytest.fixture
def empty(node: WholeNode) -> Iterator[WholeNode]:
    node.server.persistence.stop_background_save()
    node("RESET")
    node("FLUSHALL")
    yield node
    node.server.persistence.stop_background_save()


def start(node: WholeNode) -> Content:
    node.client.received()
    expected = content(node)
    assert node.client.raw("BGSAVE") == b"+Background saving started\r\n"
    return expected


@given(before=st.lists(ANY, max_size=30), steps=st.lists(STEPS, max_size=30))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_writes_meanwhile_do_not_show(
    node: WholeNode, before: list[Command], steps: list[Command | int | float]
) -> None:
    node.server.persistence.stop_background_save()
    node("RESET")
    node("FLUSHALL")
    for command in before:
        if command[0].upper() not in NOT_HERE:
            node.client.raw(*command)
    node("RESET")
    expected = start(node)
    for step in steps:
        if isinstance(step, float):
            node.advance(int(step))
        elif isinstance(step, int):
            node.server.persistence.walk_on(after(step))
        elif step[0].upper() not in NOT_HERE:
            node.client.raw(*step)
    finish(node)
    assert saved(node) == expected


def test_a_client_that_was_waiting_changes_another_key(empty: WholeNode) -> None:
    waiting = empty.connect()
    empty("RPUSH", "target", "old")
    waiting.raw("BLMOVE", "source", "target", "LEFT", "RIGHT", 0)
    expected = start(empty)
    empty("RPUSH", "source", "new")
    assert empty("LRANGE", "target", 0, -1) == [b"old", b"new"]
    finish(empty)
    assert saved(empty) == expected


def test_scripts_transactions_and_the_primarys_stream_stop_at_the_barrier_too(empty: WholeNode) -> None:
    primary = empty.connect()
    empty("MSET", "a", 1, "b", 1, "c", 1)
    expected = start(empty)
    empty("EVAL", "redis.call('incr', 'a') redis.call('set', 'new', 1)", 0)
    empty("MULTI")
    empty("INCR", "b")
    empty("EXEC")
    primary.session.is_primary_link = True
    primary.session.refresh()
    primary.raw("INCR", "c")
    assert empty("MGET", "a", "b", "c") == [b"2", b"2", b"2"]
    finish(empty)
    assert saved(empty) == expected


def test_what_a_reader_finds_expired_is_in_the_file(empty: WholeNode) -> None:
    empty("SET", "key", 1, "PX", 100)
    empty("HSET", "hash", "short", 1, "long", 2)
    empty("HPEXPIRE", "hash", 100, "FIELDS", 1, "short")
    expected = start(empty)
    empty.advance(1_000)
    assert empty("GET", "key") is None
    assert empty("HGETALL", "hash") == [b"long", b"2"]
    finish(empty)
    assert saved(empty) == expected


def test_commands_that_change_another_database(empty: WholeNode) -> None:
    empty("MSET", "moved", 1, "copied", 1)
    empty("SELECT", 1)
    empty("MSET", "copied", "old", "unchanged", 1)
    empty("SELECT", 0)
    expected = start(empty)
    assert empty("MOVE", "moved", 1) == 1
    assert empty("COPY", "copied", "copied", "DB", 1, "REPLACE") == 1
    finish(empty)
    assert saved(empty) == expected


def test_what_is_evicted_meanwhile_is_in_the_file(empty: WholeNode) -> None:
    empty("SET", "a", 1)
    expected = start(empty)
    db = empty.server.databases[0]
    [slot] = [slot for slot, space in enumerate(db.spaces) if space]
    empty.server.evict_now(db, b"a", slot)
    finish(empty)
    assert saved(empty) == expected


@pytest.mark.parametrize("command", [("FLUSHDB",), ("SWAPDB", 0, 1), ("DEBUG", "POPULATE", 10)])
def test_what_replaces_much_at_once_is_left_to_a_child(empty: WholeNode, command: tuple[str | int, ...]) -> None:
    for number in range(50):
        empty("SET", f"key:{number}", number)
    start(empty)
    empty.server.persistence.walk_on(after(3))
    empty("SET", "key:1", "later")
    expected = content(empty)
    empty(*command)
    assert empty.server.barrier.walk is None
    child = empty.server.persistence._child
    assert isinstance(child, SnapshotChild)
    while empty.server.persistence.in_background:
        empty.server.persistence.tick(empty.now_ms)
    assert saved(empty) == expected
    assert not list(empty.server.persistence.path.parent.glob("temp-*"))


def test_flushall_ends_it(empty: WholeNode) -> None:
    empty("SET", "a", 1)
    start(empty)
    empty("FLUSHALL")
    assert not empty.server.persistence.in_background
    empty("SET", "a", 2)
    assert empty("GET", "a") == b"2"


def test_a_file_that_cannot_be_written_is_an_error_and_the_old_one_stays(
    empty: WholeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty("SET", "a", 1)
    assert empty("SAVE") == b"OK"
    old = empty.server.persistence.path.read_bytes()
    start(empty)
    monkeypatch.setattr("os.fsync", _no_space)
    finish(empty)
    assert b"rdb_last_bgsave_status:err" in empty("INFO", "persistence")
    assert empty.server.persistence.path.read_bytes() == old
    assert not list(empty.server.persistence.path.parent.glob("temp-*"))
    monkeypatch.undo()
    start(empty)
    finish(empty)
    assert b"rdb_last_bgsave_status:ok" in empty("INFO", "persistence")


def test_it_ends_whenever_its_time_is_over(empty: WholeNode) -> None:
    empty("SET", "a", 1)
    for looks in range(1, 8):
        expected = start(empty)
        while empty.server.barrier.walk is not None:
            empty.server.persistence.walk_on(after(looks))
        deadline = time.monotonic() + 20
        while empty.server.persistence.in_background and time.monotonic() < deadline:
            empty.server.persistence.tick(empty.now_ms)
        assert not empty.server.persistence.in_background, looks
        assert saved(empty) == expected


@pytest.mark.parametrize(("delay_us", "rest_s"), [(100_000, 0.1001), (100, 0.001001)])
def test_it_rests_for_each_key_as_rdb_key_save_delay_says(
    empty: WholeNode, monkeypatch: pytest.MonkeyPatch, delay_us: int, rest_s: float
) -> None:
    now_s = 1.0
    monkeypatch.setattr("cluster.persistence.in_process.time", SimpleNamespace(monotonic=lambda: now_s))
    persistence = empty.server.persistence
    for number in range(30):
        empty("SET", f"key:{number}", number)
    empty("CONFIG", "SET", "rdb-key-save-delay", delay_us)
    try:
        expected = start(empty)
        seen = [0]
        while seen[-1] < 30:
            now_s += rest_s
            persistence.walk_on(after(EVERYTHING))
            seen.append(persistence.progress.keys_done)
            if len(seen) == 3:
                empty("SET", "key:29", "changed")
        assert now_s - 1.0 == pytest.approx(30 * delay_us / 1e6, rel=0.5)
        assert seen == sorted(set(seen)), "a few keys each time"
        now_s += 30 * rest_s
        finish(empty)
        assert saved(empty) == expected
        empty("CONFIG", "SET", "rdb-key-save-delay", 1_000_000_000)
        start(empty)
        persistence.walk_on(after(EVERYTHING))
        assert persistence.progress.keys_done == 0
        empty("CONFIG", "SET", "rdb-key-save-delay", 0)
        persistence.walk_on(after(EVERYTHING))
        assert persistence.progress.keys_done == 30, "it rests no longer than it is told to"
    finally:
        empty("CONFIG", "SET", "rdb-key-save-delay", 0)


def _no_space(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_info_tells_how_far_it_is_and_only_then_do_writes_take_the_long_road(empty: WholeNode) -> None:
    for number in range(20):
        empty("SET", f"key:{number}", number)
    fast = empty.server.table.fast
    start(empty)
    assert b"SET" not in empty.server.table.fast
    assert b"GET" in empty.server.table.fast
    empty.server.persistence.walk_on(after(5))
    fields = dict(line.split(b":", 1) for line in empty("INFO", "persistence").split(b"\r\n") if b":" in line)
    assert fields[b"rdb_bgsave_in_progress"] == b"1"
    assert 0 < int(fields[b"current_save_keys_processed"]) < 20
    assert fields[b"current_save_keys_total"] == b"20"
    finish(empty)
    assert empty.server.table.fast is fast
    assert empty("BGSAVE") == b"Background saving started"

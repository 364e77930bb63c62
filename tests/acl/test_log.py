"""ACL LOG's grouping."""

from __future__ import annotations

from cluster.acl.log import GROUPED_MS, AccessLog


def add(log: AccessLog, what: str, now_ms: int, *, limit: int = 128, client: str = "c") -> None:
    log.add("key", "toplevel", what.encode(), b"u", client, now_ms=now_ms, limit=limit)


def shown(log: AccessLog) -> list[tuple[int, bytes, int]]:
    return [(one.number, one.object, one.count) for one in log.newest(100)]


def test_the_same_again_counts_and_comes_first() -> None:
    log = AccessLog()
    add(log, "a", 1000)
    add(log, "b", 2000)
    add(log, "a", 3000, client="another")
    assert shown(log) == [(0, b"a", 2), (1, b"b", 1)]
    first = log.newest(1)[0]
    assert (first.created_ms, first.updated_ms, first.client) == (1000, 3000, "another")


def test_what_differs_in_anything_is_another_entry() -> None:
    log = AccessLog()
    add(log, "a", 0)
    log.add("key", "lua", b"a", b"u", "c", now_ms=0, limit=9)
    log.add("key", "toplevel", b"a", b"v", "c", now_ms=0, limit=9)
    log.add("command", "toplevel", b"a", b"u", "c", now_ms=0, limit=9)
    assert len(log) == 4


def test_after_a_minute_it_is_another_entry() -> None:
    log = AccessLog()
    add(log, "a", 0)
    add(log, "a", GROUPED_MS)
    add(log, "a", 2 * GROUPED_MS + 1)
    assert shown(log) == [(1, b"a", 1), (0, b"a", 2)]


def test_only_the_newest_ten_are_looked_at() -> None:
    log = AccessLog()
    for number in range(11):
        add(log, str(number), 0)
    add(log, "1", 0)
    add(log, "0", 0)
    assert len(log) == 12


def test_no_more_than_the_limit_is_kept() -> None:
    log = AccessLog()
    for number in range(5):
        add(log, str(number), 0, limit=2)
    assert shown(log) == [(4, b"4", 1), (3, b"3", 1)]
    log.clear()
    add(log, "x", 0)
    assert shown(log) == [(5, b"x", 1)], "numbers do not come again"
    assert log.newest(-1) == []

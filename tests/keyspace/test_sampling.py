"""Keys drawn at random: any key, wherever it lies, about as often as any other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cluster.keyspace.hashing import SLOT_COUNT
from cluster.keyspace.sampling import KeySampler

DRAWS = 20_000


def tables_of(sizes: dict[int, int]) -> list[dict[bytes, object]]:
    """Slots with so many keys; each key begins with its slot's number."""
    return [{b"%d:%d" % (slot, at): None for at in range(sizes.get(slot, 0))} for slot in range(SLOT_COUNT)]


def draw(sampler: KeySampler, tables: list[dict[bytes, object]], count: int) -> Counter[bytes]:
    rng = random.Random(1)
    return Counter(key for _ in range(count // 5) for _, key in sampler.sample(tables, 5, rng))


@pytest.mark.parametrize(
    "sizes",
    [{7: 1}, {0: 3, 16383: 5}, dict.fromkeys(range(0, 16384, 100), 2), {5: 1, 9: 300}, {5: 20, 9: 3000}],
    ids=["one key", "both ends", "few keys", "one large slot", "one very large slot"],
)  # fmt: skip
def test_every_key_is_drawn_about_as_often(sizes: dict[int, int]) -> None:
    drawn = draw(KeySampler(), tables_of(sizes), DRAWS)
    total = sum(sizes.values())
    assert len(drawn) > 0.99 * total
    by_slot = Counter(dict.fromkeys(sizes, 0))
    for key, count in drawn.items():
        by_slot[int(key.partition(b":")[0])] += count
    for slot, size in sizes.items():
        expected = DRAWS * size / total
        assert abs(by_slot[slot] - expected) < 6 * expected**0.5 + 1


def test_nothing_is_found_where_nothing_is() -> None:
    assert KeySampler().sample(tables_of({}), 5, random.Random(1)) == []


def test_what_comes_and_goes_is_noticed() -> None:
    sampler, tables = KeySampler(), tables_of({1: 50})
    assert draw(sampler, tables, 20)
    tables[1].clear()
    assert draw(sampler, tables, 20) == {}
    tables[2][b"new"] = None
    assert draw(sampler, tables, 20) == {b"new": 20}


def test_a_key_that_is_left_over_is_found() -> None:
    sampler, tables = KeySampler(), tables_of(dict.fromkeys(range(SLOT_COUNT), 5))
    assert draw(sampler, tables, 20)
    for table in tables[1:]:
        table.clear()
    assert set(draw(sampler, tables, 200)) == set(tables[0])

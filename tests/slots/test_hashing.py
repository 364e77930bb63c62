"""Key → slot: against the crc16 package's own implementation, and the specification's hash tag examples."""

from __future__ import annotations

import pytest
from crc16 import crc16pure
from hypothesis import given
from hypothesis import strategies as st

from cluster.keyspace.hashing import SLOT_COUNT, common_slot, key_slot


def reference(key: bytes) -> int:
    """The Redis Cluster specification's HASH_SLOT, written from its text."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return int(crc16pure.crc16xmodem(key)) % SLOT_COUNT


@given(st.binary(max_size=64) | st.text("a{}b", max_size=12).map(str.encode))
def test_every_key_has_the_slot_of_the_specification(key: bytes) -> None:
    assert key_slot(key) == reference(key)


@pytest.mark.parametrize(
    ("key", "slot"),
    [(b"foo", 12182), (b"123456789", 12739), (b"", 0), (b"{user1000}.following", 3443), (b"foo{}{bar}", 8363)],
)
def test_known_slots(key: bytes, slot: int) -> None:
    assert key_slot(key) == slot


@given(st.lists(st.text("a{}b", max_size=6).map(str.encode), min_size=1, max_size=4))
def test_keys_have_a_slot_in_common_when_all_their_slots_are_the_same(keys: list[bytes]) -> None:
    slots = {reference(key) for key in keys}
    assert common_slot(keys) == (slots.pop() if len(slots) == 1 else None)


def test_keys_of_one_tag_share_their_slot() -> None:
    assert common_slot([b"{user}a", b"x{user}b", b"{user}"]) == key_slot(b"user")
    assert common_slot([b"{user}a", b"{user}b", b"{other}a"]) is None
    assert common_slot([b"{}a}b", b"{}a}c"]) is None

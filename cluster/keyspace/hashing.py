"""Key → hash slot (Redis Cluster specification, 'Key distribution model' and 'Hash tags')."""

from __future__ import annotations

from binascii import crc_hqx

SLOT_COUNT = 16384
SLOT_MASK = SLOT_COUNT - 1
BRACE = ord("{")
"""Looked for as a number: `bytes.__contains__` takes eight times as long for a byte string."""


def key_slot(key: bytes) -> int:
    """The slot of `key`: CRC16/XMODEM of its hash tag, or of the whole key without one."""
    if BRACE in key:
        start = key.index(b"{") + 1
        end = key.find(b"}", start)
        if end > start:
            return crc_hqx(key[start:end], 0) & SLOT_MASK
    return crc_hqx(key, 0) & SLOT_MASK


def common_slot(keys: list[bytes]) -> int | None:
    """The slot of all `keys`, None when they lie in several."""
    first = keys[0]
    slot = key_slot(first)
    # Keys that are the same up to the end of their hash tag need not be hashed each.
    start = first.find(b"{") + 1
    end = first.find(b"}", start) if start else 0
    if end > start:
        head = first[: end + 1]
        keys = [key for key in keys if not key.startswith(head)]
    for key in keys:
        if key_slot(key) != slot:
            return None
    return slot

"""Keyspace events: what happened to a key, in the names and classes of notify-keyspace-events."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """`kind` is the class letter of notify-keyspace-events ($ l s h z x e t g n d m), `name` the event's name."""

    kind: str
    name: str


DEL = Event("g", "del")
EXPIRED = Event("x", "expired")
FIELDS_EXPIRED = Event("h", "hexpired")
EVICTED = Event("e", "evicted")
NEW = Event("n", "new")
KEY_MISS = Event("m", "keymiss")
EXPIRE = Event("g", "expire")
PERSIST = Event("g", "persist")
SET = Event("$", "set")
TOUCHED = Event("-", "")
"""A change that fires no event, but fails a WATCH: PFCOUNT's cache."""

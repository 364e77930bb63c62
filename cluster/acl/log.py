"""ACL LOG: what was denied to whom. What is denied again within a minute counts on the entry that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GROUPED_MS = 60_000
LOOKED_AT = 10
"""So many of the newest entries are compared with a new one."""


@dataclass(slots=True)
class Entry:
    """`reason`: of `cluster.acl.request`. `context`: toplevel, multi or lua. `object`: the command, key or channel."""

    number: int
    reason: str
    context: str
    object: bytes
    username: bytes
    client: str
    created_ms: int
    updated_ms: int
    count: int = 1


class AccessLog:
    """The newest first, `limit` at most. A number never comes again."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def newest(self, count: int) -> Sequence[Entry]:
        return self._entries[: max(0, count)]

    def add(
        self, reason: str, context: str, what: bytes, username: bytes, client: str, *, now_ms: int, limit: int
    ) -> None:
        for entry in self._entries[:LOOKED_AT]:
            same = (entry.reason, entry.context, entry.object, entry.username) == (reason, context, what, username)
            if same and now_ms - entry.updated_ms <= GROUPED_MS:
                entry.count += 1
                entry.client = client
                entry.updated_ms = now_ms
                self._entries.remove(entry)
                self._entries.insert(0, entry)
                return
        self._entries.insert(0, Entry(self._next_number, reason, context, what, username, client, now_ms, now_ms))
        self._next_number += 1
        self.limit(limit)

    def limit(self, length: int) -> None:
        """As redis-server: it is shortened when something is added to it."""
        del self._entries[length:]

    def clear(self) -> None:
        self._entries.clear()

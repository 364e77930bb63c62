"""The categories of a command, by which rules of access control speak of many at once."""

from __future__ import annotations

from cluster.acl.catalogue import CATEGORIES
from cluster.commands.registry import ADMIN, BLOCKING, FAST, PUBSUB, READONLY, WRITE, Command

_GROUP_CATEGORIES = {
    "string": "string", "bitmap": "bitmap", "list": "list", "hash": "hash", "set": "set", "sorted-set": "sortedset",
    "stream": "stream", "geo": "geo", "hyperloglog": "hyperloglog", "connection": "connection",
    "transactions": "transaction", "scripting": "scripting", "generic": "keyspace",
}
_OUTSIDE_THEIR_GROUP = ("sort", "sort_ro", "wait", "waitaof")
"""Generic commands that redis-server does not count among those about keys."""


def categories(entry: Command) -> list[str]:
    """The ACL categories of a command, without '@', in ACL CAT's order."""
    found = set(entry.categories)
    implied = {WRITE: ("write",), READONLY: ("read",), ADMIN: ("admin", "dangerous"), PUBSUB: ("pubsub",),
               BLOCKING: ("blocking",)}
    for flag, names in implied.items():
        if flag in entry.flags and not (flag == READONLY and entry.group == "scripting"):
            found.update(names)
    found.add("fast" if FAST in entry.flags else "slow")
    is_container = entry.handler is None
    if entry.group in _GROUP_CATEGORIES and not is_container and entry.name not in _OUTSIDE_THEIR_GROUP:
        found.add(_GROUP_CATEGORIES[entry.group])
    return [name for name in CATEGORIES if name in found]

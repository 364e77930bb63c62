"""Which keys MIGRATE is moving, how far each has come, and which node has the last word on it.

While a slot is open, "is this key here?" decides who answers for it: this node, or by an ASK the target. For a key
under way the keyspace cannot tell. The target has it before this node knows so, and if it is deleted here meanwhile,
the target must not show it again. So a key under way is this node's, whether it is there or not, until it is settled:
until the target has what was here last, or has nothing of it, and has said so. From then on the keyspace tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING

from cluster import errors
from cluster.errors import CommandError
from cluster.keyspace.hashing import key_slot

if TYPE_CHECKING:
    from bus.view import ClusterView
    from cluster.keyspace.values import Value
    from cluster.server import Server


class Stage(Enum):
    HERE = auto()
    """The target has been sent nothing of it."""
    SENT = auto()
    """The target may have it, as it is here or as it was."""
    THERE = auto()
    """The target has said that it took what was sent; here it may have changed since."""
    LEFT = auto()
    """The exchange has failed. It is gone here, and may be there: the target has yet to be told. No node answers for it
    meanwhile: what were written here could be left behind when the slot goes."""
    OVER = auto()
    """Settled, or no longer this node's to move."""


class Passage:
    """One key's way. `value`, `deadline_ms`: as it was looked at last, to be sent; no value: it was gone."""

    __slots__ = ("changed", "db_index", "deadline_ms", "key", "slot", "stage", "value")

    def __init__(self, db_index: int, key: bytes) -> None:
        self.db_index = db_index
        self.key = key
        self.slot = key_slot(key)
        self.stage = Stage.HERE
        self.changed = False
        self.value: Value | None = None
        self.deadline_ms: int | None = None

    @property
    def is_over(self) -> bool:
        return self.stage is Stage.OVER

    def look(self, value: Value | None, deadline_ms: int | None) -> None:
        """What changes from now on counts."""
        self.value, self.deadline_ms = value, deadline_ms
        self.changed = False


class UnderWay:
    """`by_key` maps (database, key) → its passage, until that is over."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_key: dict[tuple[int, bytes], Passage] = {}

    def start(self, db_index: int, keys: Iterable[bytes]) -> list[Passage]:
        """Observe keys, of which none is `busy`, until `settle`. One that was left behind goes on its way anew."""
        passages = [Passage(db_index, key) for key in keys]
        for one in passages:
            left = self.by_key.get((db_index, one.key))
            if left is not None:
                self.settle(left)
            self.by_key[db_index, one.key] = one
        self._server.ctx.observed = True
        return passages

    def settle(self, passage: Passage) -> None:
        """Its passage is over: the keyspace says again whether the key is here."""
        if not passage.is_over:
            passage.stage = Stage.OVER
            passage.value = None
            del self.by_key[passage.db_index, passage.key]
            if not self.by_key:
                self._server.refresh_observed()

    def is_busy(self, db_index: int, keys: Iterable[bytes]) -> bool:
        """Whether one of `keys` is being moved by another MIGRATE at the moment."""
        found = (self.by_key.get((db_index, key)) for key in keys)
        return any(one is not None and one.stage is not Stage.LEFT for one in found)

    def has_last_word(self, db_index: int, key: bytes) -> bool:
        """Whether this node answers for `key` although it may be gone here. Raises TRYAGAIN where nobody does yet."""
        passage = self.by_key.get((db_index, key))
        if passage is not None and passage.stage is Stage.LEFT:
            raise CommandError(errors.TRYAGAIN)
        return passage is not None

    def in_slot(self, slot: int) -> int:
        """How many keys of `slot` are not settled yet."""
        return sum(one.slot == slot for one in self.by_key.values())

    def changed(self, db_index: int, key: bytes) -> None:
        passage = self.by_key.get((db_index, key))
        if passage is not None:
            passage.changed = True

    def follow_view(self, view: ClusterView) -> None:
        """Keys of slots that are another node's now are its own: it must not be sent another word of them."""
        for one in list(self.by_key.values()):
            if view.owners[one.slot] != view.my_id and one.slot not in view.importing:
                self.settle(one)

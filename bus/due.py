"""What the core does once for many changes: saving nodes.conf, and announcing what this node is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SAVE_PERIOD_MS = 100
ANNOUNCE_PERIOD_MS = 100


class Save(IntEnum):
    """How soon a change is saved, and what it outlives then."""

    LATER = 1
    """Once in SAVE_PERIOD_MS: others say it again."""
    BEFORE_THE_ANSWER = 2
    """Before anything that follows is said: a killed process has it. Who the others are, and what an operator asked."""
    SYNCED = 3
    """The same, and a machine that loses its power has it: votes, epochs of this node's own, roles, slots taken in."""


@dataclass(slots=True)
class Saving:
    """What is to be saved goes by the most urgent of the changes."""

    wanted: Save | None = None
    done_at: int | None = None

    def ask(self, how: Save) -> None:
        self.wanted = max(self.wanted or how, how)

    def take(self, now: int) -> Save | None:
        """How it is to be saved now, if it is; then it is held to be done."""
        how = self.wanted
        early = self.done_at is not None and now - self.done_at < SAVE_PERIOD_MS
        if how is None or (how is Save.LATER and early):
            return None
        self.wanted = None
        self.done_at = now
        return how


@dataclass(slots=True)
class Announcing:
    """A new role or epoch is announced at once, other slots once in ANNOUNCE_PERIOD_MS."""

    wanted: bool = False
    at_once: bool = False
    done_at: int | None = None

    def ask(self, *, at_once: bool) -> None:
        self.wanted = True
        self.at_once = self.at_once or at_once

    def take(self, now: int) -> bool:
        """Whether it is to be done now; then it is held to be done."""
        early = self.done_at is not None and now - self.done_at < ANNOUNCE_PERIOD_MS
        if not self.wanted or (early and not self.at_once):
            return False
        self.wanted = self.at_once = False
        self.done_at = now
        return True

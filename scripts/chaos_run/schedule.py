"""Which faults come in which order: a seed decides, and the same seed gives the same again. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    KILL = "kill -9"
    STOP = "SIGSTOP"
    RESTART = "restart"
    FAILOVER = "failover"
    RESHARD = "reshard"


LONGEST_STOP_S = 6.0
MOST_SLOTS = 40


@dataclass(frozen=True, slots=True)
class Strike:
    """`shard` counts primaries by their first slot. `replica`: it meets the shard's replica, not its primary."""

    fault: Fault
    shard: int
    replica: bool
    calm_s: float
    """How long the cluster is left alone before."""
    hold_s: float
    """How long a process stays killed or stopped."""
    slots: int


def schedule(seed: int) -> Iterator[Strike]:
    """Faults without end. Each kind comes once before any comes again."""
    rng = random.Random(seed)
    while True:
        faults = list(Fault)
        rng.shuffle(faults)
        for fault in faults:
            yield Strike(
                fault=fault,
                shard=rng.randrange(1000),
                replica=fault in (Fault.KILL, Fault.STOP, Fault.RESTART) and rng.random() < 0.25,
                calm_s=rng.uniform(1.5, 3.0),
                hold_s=rng.uniform(0.1, LONGEST_STOP_S),
                slots=rng.randint(1, MOST_SLOTS),
            )

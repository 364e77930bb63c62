"""Broken inputs by the hundred, made from real ones by a seed, in as much memory as the process has and a little more.

`python -m tests.fuzz.run FIRST COUNT [TARGET]` prints, as JSON, how many of each kind were taken and refused, and every
other outcome with the seed that leads to it again.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import sys
from collections import Counter
from pathlib import Path
from traceback import format_exc

from tests.fuzz.steps import TooManySteps, bounded
from tests.fuzz.targets import REFUSED, TAKEN, Target, targets
from tests.persistence.corruption import broken

MORE_MEMORY_BYTES = 128 << 20
SPLICED, WHOLE = 0.15, 0.02


def made(target: Target, rng: random.Random) -> bytes:
    """An input: a real one, the beginning of one and the end of another, and mostly with a fault or some."""
    data = rng.choice(target.seeds)
    if rng.random() < WHOLE:
        return data
    if rng.random() < SPLICED:
        other = rng.choice(target.seeds)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    return broken(rng, data, list(target.strange)) if data else data


def outcome(target: Target, data: bytes) -> str:
    """TAKEN, REFUSED, or what nobody foresaw."""
    try:
        return bounded(target.steps + target.steps_per_byte * len(data), lambda: target.read(data))
    except (Exception, TooManySteps):  # noqa: BLE001 - whatever it is, it is to be told
        return format_exc()


def outcomes(first: int, count: int, only: str = "") -> dict[str, dict[str, int]]:
    every = [target for target in targets() if only in ("", target.name)]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY_BYTES,) * 2)
    found: dict[str, dict[str, int]] = {}
    for target in every:
        counts: Counter[str] = Counter()
        for seed in range(first, first + count):
            one = outcome(target, made(target, random.Random(f"{target.name} {seed}")))
            counts[one if one in (TAKEN, REFUSED) else f"seed {seed}: {one}"] += 1
        found[target.name] = counts
        gc.collect()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])))

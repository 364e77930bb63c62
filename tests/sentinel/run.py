"""Replay one seed and show what happened: ``python -m tests.sentinel.run --seed N``; or look for seeds that fail."""

from __future__ import annotations

import sys

from tests.seeded_runs import replay
from tests.sentinel.schedule import run_seed

if __name__ == "__main__":
    sys.exit(replay(run_seed, "tests.sentinel.run", "all"))

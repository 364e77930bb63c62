"""Replay one seed and show what happened: ``python -m tests.simulation.run --seed N``; or look for seeds that fail."""

from __future__ import annotations

import sys

from tests.seeded_runs import replay
from tests.simulation.schedule import run_seed

if __name__ == "__main__":
    sys.exit(replay(run_seed, "tests.simulation.run", "the cluster"))

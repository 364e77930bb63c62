"""Replay one seed and show what happened: ``python -m tests.simulation.run --seed N``; or look for seeds that fail."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.schedule import run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the run to replay")
    parser.add_argument("--count", type=int, default=1, help="that many seeds from there on, only failures shown")
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        outcome = run_seed(seed)
        failed += bool(outcome.problems)
        if arguments.count == 1:
            print("\n".join(outcome.history))
        if outcome.problems:
            print(outcome)
        elif arguments.count == 1:
            print(f"All is well: the cluster agreed {outcome.agreed_after_ms} ms after the last fault.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

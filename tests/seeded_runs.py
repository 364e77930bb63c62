"""Simulated runs that one seed decides: which a test takes, how a failure reads, how a person replays one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field

PROBLEMS_SHOWN = 20


@dataclass
class Outcome:
    """`replay`: the module that replays a seed; `tail`: of a failure, so many lines of its history are shown."""

    seed: int
    problems: list[str]
    agreed_after_ms: int = 0
    history: list[str] = field(default_factory=list)
    replay: str = "tests.simulation.run"
    tail: int = 0

    def __str__(self) -> str:
        lines = [f"Seed {self.seed} fails. Replay it by: python -m {self.replay} --seed {self.seed}"]
        lines += self.problems[:PROBLEMS_SHOWN]
        return "\n".join(lines + (self.history[-self.tail :] if self.tail else []))


RunSeed = Callable[[int], Outcome]


def seeds(batch: int, batches: int, usually: int) -> range:
    """One of `batches` equal parts of the seeds; CLUSTER_NODE_SEEDS says how many there are."""
    count = int(os.environ.get("CLUSTER_NODE_SEEDS", str(usually)))
    return range(batch * count // batches, (batch + 1) * count // batches)


def found(run_seed: RunSeed, seed: int, complaint: str) -> bool:
    """Whether that is among what is wrong with a run."""
    return any(complaint in problem for problem in run_seed(seed).problems)


def replay(run_seed: RunSeed, module: str, who: str) -> int:
    """The command line of ``python -m module``; its exit status."""
    text = f"Replay one seed and show what happened: python -m {module} --seed N; or look for seeds that fail."
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
    parser.add_argument("--seed", type=int, required=True, help="the run to replay")
    parser.add_argument("--count", type=int, default=1, help="that many seeds from there on, only failures shown")
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        outcome = run_seed(seed)
        failed += bool(outcome.problems)
        if arguments.count == 1:
            print("\n".join(outcome.history))
            outcome.tail = 0
        if outcome.problems:
            print(outcome, flush=True)
        elif arguments.count == 1:
            print(f"All is well: {who} agreed {outcome.agreed_after_ms} ms after the last fault.")
    return 1 if failed else 0

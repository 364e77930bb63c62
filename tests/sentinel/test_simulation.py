"""Many short lives of sentinels and servers, each drawn from one seed: faults, then health.

Never two leaders of a primary in an epoch, nor two votes of a sentinel; nobody is promoted without quorum and
majority; when all is healed, all agree before long (tests/sentinel/checkers.py says it in full). CLUSTER_NODE_SEEDS
says how many lives; a failure names the line that replays it, and shows the end of its history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest

from tests.seeded_runs import seeds
from tests.sentinel.schedule import LifeOutcome, run_seed

BATCHES = 5
USUAL_SEEDS = 100
OFTEN = 3
"""In so many lives, at least, of a usual run each of these is to be found."""
KINDS = (
    "FAILOVER during a failover", "FAILOVER", "REMOVE and MONITOR during a failover", "REMOVE and MONITOR",
    "RESET during a failover", "RESET", "TILT during a failover", "TILT", "a clock that jumps", "a disk that refuses",
    "a one-way partition", "a partition", "a primary returns during its failover", "a primary returns",
    "a promoted replica dies at once", "a replica lies about its offset", "a replica lies about its priority",
    "a replica reports another primary", "a sentinel is lost for good", "a sentinel lost while it leads", "a slow disk",
    "a split vote", "a vote that comes when its epoch is over", "health without a restart", "lost packets",
    "one link is cut", "primaries die together", "slow links", "somebody stands still", "two failovers at once",
)  # fmt: skip

Live = Callable[[int], LifeOutcome]


@pytest.fixture(scope="module")
def live() -> Live:
    """Each life is lived once."""

    def once(seed: int) -> LifeOutcome:
        outcome = run_seed(seed)
        if not outcome.problems:
            outcome.history.clear()
        return outcome

    return cache(once)


@pytest.mark.timeout(3600)  # with --long; on a usual run the file takes some seconds
@pytest.mark.parametrize("batch", range(BATCHES))
def test_sentinels_are_safe_under_faults_and_agree_after_them(batch: int, live: Live) -> None:
    failures = [str(outcome) for seed in seeds(batch, BATCHES, USUAL_SEEDS) if (outcome := live(seed)).problems]
    assert not failures, "\n".join(failures)


def test_all_that_can_go_wrong_does_so_often_enough(live: Live) -> None:
    lives = Counter(kind for seed in range(USUAL_SEEDS) for kind in live(seed).seen)
    assert {kind: lives[kind] for kind in KINDS if lives[kind] < OFTEN} == {}


def test_a_seed_decides_everything() -> None:
    assert run_seed(3).history == run_seed(3).history

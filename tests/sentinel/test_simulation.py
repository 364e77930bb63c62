"""Many short lives of sentinels and servers, each drawn from one seed: faults, then health.

Never two leaders in an epoch, nor two votes of one sentinel; nobody is promoted without quorum and majority; when all
is healed, all agree. CLUSTER_NODE_SEEDS says how many lives; a failure names its seed.
"""

from __future__ import annotations

import os

import pytest

from tests.sentinel.schedule import run_seed

BATCHES = 5


def seeds(batch: int) -> range:
    count = int(os.environ.get("CLUSTER_NODE_SEEDS", "40"))
    return range(batch * count // BATCHES, (batch + 1) * count // BATCHES)


@pytest.mark.timeout(3600)  # with --long; on a usual run the file takes some seconds
@pytest.mark.parametrize("batch", range(BATCHES))
def test_sentinels_are_safe_under_faults_and_agree_after_them(batch: int) -> None:
    failures = [f"seed {seed}: {problem}" for seed in seeds(batch) for problem in run_seed(seed)]
    assert not failures, "\n".join(failures)

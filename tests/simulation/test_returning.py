"""Primaries that come back within the node timeout with less than their replicas hold, under the faults of a network.

Whatever is lost or late: no replica is wiped that could say what it holds, and the cluster is healthy afterwards.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.simulation.checkers import Safety, disagreements
from tests.simulation.simulator import SimNode, Simulation

TIMEOUT_MS = 2_000
SEEDS = 16
LONG_SEEDS = 1_000


def in_step(sim: Simulation) -> bool:
    return all(node.following is None or node.synced_at is not None for node in sim.nodes)


def patient(seed: int, nodes: int) -> tuple[Simulation, Safety]:
    """Three primaries with replicas, among which nobody is replaced before the node timeout."""
    sim = Simulation(seed, nodes, node_timeout_ms=TIMEOUT_MS)
    for node in sim.nodes:
        node.config = replace(node.config, fast_failover=False)
    safety = Safety(by_vote_only=True)
    sim.observers.append(safety)
    sim.prepare(3)
    assert sim.run_until(lambda: not disagreements(sim) and in_step(sim), 20_000), disagreements(sim)
    return sim, safety


def shard(sim: Simulation, primary: SimNode) -> list[SimNode]:
    return [node for node in sim.nodes if node.info.shard_id == primary.info.shard_id]


@pytest.mark.timeout(3600)  # with --long
def test_no_replica_that_can_be_asked_is_wiped(request: pytest.FixtureRequest) -> None:
    for seed in range(LONG_SEEDS if request.config.getoption("--long") else SEEDS):
        come_back(seed)


def come_back(seed: int) -> None:
    """One run: a primary of a shard that has written is killed, and comes back with some of its data."""
    dice = random.Random(seed)
    sim, safety = patient(seed, dice.choice((6, 7, 9)))
    primary = sim.nodes[0]
    members = shard(sim, primary)
    early = primary.offset
    sim.run(dice.randint(100, 3_000))
    held = max(node.offset for node in members if node is not primary)
    kept = dice.choice((0, early, held, primary.offset))
    primary.crash(power=dice.random() < 0.3)
    sim.run(dice.randrange(TIMEOUT_MS // 3))
    if dice.random() < 0.3:
        sim.network.loss = 0.05
    primary.start(load_ms=dice.randrange(2 * TIMEOUT_MS), offset=kept)
    if dice.random() < 0.3 and len(members) > 2:
        members[1].crash()
    sim.run(4 * TIMEOUT_MS)
    sim.network.heal()
    for node in sim.nodes:
        if node.core is None:
            node.start()
    assert sim.run_until(lambda: not disagreements(sim) and in_step(sim), 60_000), (
        seed, disagreements(sim), sim.tail()
    )
    sim.run(1_000)
    heads = [node for node in sim.nodes if node.following is None and node.info.slots]
    assert [node for node in heads if node in members], "the shard has a primary of its own"
    assert safety.violations == []
    assert sim.wiped == [], (seed, kept, held, sim.tail())
    assert max(node.offset for node in members) >= held


def test_without_a_word_about_data_a_replica_is_wiped() -> None:
    """What all of this is for: the simulation would see it."""
    sim, _ = patient(1, 6)
    primary = sim.nodes[0]
    primary.crash()
    primary.start()
    primary.offset = 0
    sim.run(5_000)
    assert sim.wiped

"""Many short lives of small clusters, each drawn from one seed: faults, then health.

CLUSTER_NODE_SEEDS says how many (--long: thousands). A failure names the line that replays it.
"""

from __future__ import annotations

import pytest

from bus import events
from tests.seeded_runs import seeds
from tests.simulation.checkers import Safety, disagreements
from tests.simulation.schedule import run_seed
from tests.simulation.simulator import SimNode, Simulation

BATCHES = 10
USUAL_SEEDS = 2_000


@pytest.mark.timeout(3600)  # with --long; on a usual run the whole file takes three minutes
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_cluster_is_safe_under_faults_and_healthy_after_them(batch: int) -> None:
    failures = [str(outcome) for seed in seeds(batch, BATCHES, USUAL_SEEDS) if (outcome := run_seed(seed)).problems]
    assert not failures, "\n".join(failures)


def test_a_seed_decides_everything() -> None:
    assert run_seed(11).history == run_seed(11).history


def test_a_cluster_forms_by_meeting() -> None:
    sim = Simulation(3, 8)
    sim.form(4)
    assert sim.run_until(lambda: not disagreements(sim), 20_000), disagreements(sim)
    assert [node.info.role for node in sim.nodes] == ["primary"] * 4 + ["replica"] * 4


def started(seed: int = 5, nodes: int = 6) -> tuple[Simulation, Safety]:
    sim = Simulation(seed, nodes)
    safety = Safety(by_vote_only=True)
    sim.observers.append(safety)
    sim.prepare(3)
    assert sim.run_until(lambda: not disagreements(sim) and _in_step(sim), 10_000)
    return sim, safety


def _in_step(sim: Simulation) -> bool:
    """Whether every replica has its primary's data, without which none may take its place."""
    return all(node.following is None or node.synced_at is not None for node in sim.nodes)


def test_a_crashed_primary_is_replaced_and_comes_back_as_a_replica() -> None:
    sim, safety = started()
    old, successor = sim.nodes[0], sim.nodes[3]
    old.crash()
    assert sim.run_until(lambda: successor.info.role == "primary", 1_000), "a refused connection is found out at once"
    old.start()
    assert sim.run_until(lambda: not disagreements(sim), 10_000), disagreements(sim)
    assert old.info.primary_id == successor.node_id
    assert safety.violations == []


@pytest.mark.parametrize("seed", range(10))
def test_a_cluster_that_is_brought_up_again_is_there_at_once_and_as_it_was(seed: int) -> None:
    sim, safety = started(seed)
    roles = [node.info.role for node in sim.nodes]
    for node in sim.nodes:
        node.crash()
    sim.run(2_000)
    for node in sim.nodes:
        sim.run(sim.rng.randrange(200))
        node.start()
    assert sim.run_until(lambda: not disagreements(sim), 800), disagreements(sim)
    assert [node.info.role for node in sim.nodes] == roles
    assert safety.violations == []


def test_a_stopped_primary_serves_nothing_when_it_goes_on() -> None:
    sim, safety = started()
    old, successor = sim.nodes[0], sim.nodes[3]
    old.stopped = True
    assert sim.run_until(lambda: successor.info.role == "primary", 5_000)
    old.resume()
    assert not old.serves
    assert sim.run_until(lambda: not disagreements(sim), 10_000)
    assert safety.violations == []


@pytest.mark.parametrize("seed", range(20))
def test_a_primary_that_was_stopped_for_less_than_the_node_timeout_may_have_been_replaced_too(seed: int) -> None:
    """The others count from when they last heard it, which is before it was stopped."""
    sim, safety = started(seed)
    old, successor = sim.nodes[0], sim.nodes[3]
    sim.run(seed * 37)
    old.stopped = True
    stopped_at = sim.now
    sim.run_until(lambda: successor.info.role == "primary", 850)
    sim.run(max(0, stopped_at + 850 - sim.now))

    def look() -> None:
        assert not (old.serves and successor.info.role == "primary")

    old.resume(look)
    for _ in range(500):
        sim.run(10)
        look()
    assert sim.run_until(lambda: not disagreements(sim), 10_000), disagreements(sim)
    assert safety.violations == []


def test_the_minority_s_primary_stops_serving_and_the_majority_goes_on() -> None:
    sim, safety = started()
    sim.network.partition({0})
    sim.run(3_000)
    assert sim.nodes[0].running.view.down_reason == "minority"
    assert all(node.running.view.state_ok for node in sim.nodes[1:])
    sim.network.heal()
    assert sim.run_until(lambda: not disagreements(sim), 10_000)
    assert safety.violations == []


def test_no_side_of_an_even_split_takes_over() -> None:
    sim = Simulation(5, 8)
    sim.prepare(4)
    sim.run(4_000)
    sim.network.partition({0, 1, 6, 7})  # two primaries and the replicas of the other two
    sim.run(20_000)
    assert [node.info.role for node in sim.nodes] == ["primary"] * 4 + ["replica"] * 4
    assert not any(node.running.view.state_ok for node in sim.nodes)


def test_a_manual_failover_loses_no_write() -> None:
    sim, safety = started()
    old, successor = sim.nodes[0], sim.nodes[3]
    assert successor.ask(events.Failover()) == "OK"
    assert sim.run_until(lambda: successor.info.role == "primary", 5_000)
    assert successor.offset >= old.offset
    assert sim.run_until(lambda: not disagreements(sim), 10_000)
    assert old.paused_until == 0, "the writers that waited are told where to go"
    assert safety.violations == []


def test_a_primary_without_replicas_is_given_one_that_another_can_spare() -> None:
    sim = Simulation(5, 7)
    sim.prepare(3)  # node 0 has two replicas, 3 and 6
    sim.run(4_000)
    sim.nodes[4].crash()
    orphan = sim.nodes[1].node_id
    assert sim.run_until(lambda: any(node.info.primary_id == orphan for node in sim.living()), 20_000)
    assert [node.index for node in sim.living() if node.info.primary_id == sim.nodes[0].node_id] != []


class LostKeys:
    """Sees when a node is told to drop the keys of a slot that an operator has moved to it."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.holder: SimNode | None = None
        self.violations: list[str] = []

    def on_effect(self, node: SimNode, event: events.Event | None, effect: events.Effect) -> None:
        if isinstance(effect, events.DropSlotKeys) and self.slot in effect.slots and node is self.holder:
            self.violations.append(f"{node.index} drops the slot at {node.sim.now}, on {event}")


@pytest.mark.parametrize("seed", range(40))
def test_a_slot_that_is_back_before_word_of_it_has_gone_round_stays_where_it_was_moved_last(seed: int) -> None:
    sim, _ = started(seed)
    slot = sim.nodes[0].info.slots[0][0]
    lost = LostKeys(slot)
    sim.observers.append(lost)
    sim.network.max_delay = 150
    source, target = sim.nodes[:2]
    for _ in range(12):
        assert target.ask(events.SetSlot(slot, "importing", source.node_id)) == "OK", sim.tail()
        assert source.ask(events.SetSlot(slot, "migrating", target.node_id)) == "OK", sim.tail()
        sim.run(sim.rng.randrange(60))
        lost.holder = target
        assert target.ask(events.SetSlot(slot, "node", target.node_id)) == "OK"
        sim.run(sim.rng.randrange(5))
        assert source.ask(events.SetSlot(slot, "node", target.node_id)) == "OK"
        sim.run(sim.rng.randrange(75, 120))
        source, target = target, source
    assert sim.run_until(lambda: not disagreements(sim), 20_000), disagreements(sim)
    assert {node.running.view.owners[slot] for node in sim.nodes} == {source.node_id}
    assert lost.violations == []


@pytest.mark.parametrize("seed", range(10))
def test_where_two_nodes_hold_each_other_for_a_slot_s_owner_one_takes_it(seed: int) -> None:
    sim, _ = started(seed)
    slot = sim.nodes[0].info.slots[0][0]
    one, other = sim.nodes[:2]
    assert other.ask(events.SetSlot(slot, "importing", one.node_id)) == "OK"
    assert other.ask(events.SetSlot(slot, "node", other.node_id)) == "OK"
    assert one.ask(events.SetSlot(slot, "node", other.node_id)) == "OK"
    assert other.ask(events.SetSlot(slot, "node", one.node_id)) == "OK"
    assert sim.run_until(lambda: not disagreements(sim), 20_000), disagreements(sim)

"""One seeded run: faults first, while safety is looked at; then all heals, and the cluster must come to agree."""

from __future__ import annotations

import random
from collections.abc import Callable

from bus import events
from bus.view import SLOT_COUNT
from tests.seeded_runs import Outcome
from tests.simulation.checkers import CALM_MS, Safety, disagreements
from tests.simulation.simulator import SimNode, Simulation

FAULT_PHASE_MS = 8_000
AGREEMENT_LIMIT_MS = 30_000
STAYS_MS = 1_500
"""The cluster must not only agree but go on agreeing for that long."""
LONGEST_PAUSE_MS = 1_000
"""Between two faults."""
LONGEST_ABSENCE_MS = 4_000
"""Of a node that is stopped, or down."""


def run_seed(seed: int) -> Outcome:
    """One run from its seed alone."""
    dice = random.Random(f"schedule {seed}")
    primaries = dice.randint(3, 4)
    sim = Simulation(seed, dice.randint(max(6, primaries + 2), 9), node_timeout_ms=dice.choice((500, 1_000, 2_000)))
    by_vote_only = dice.random() < 0.5
    safety = Safety(by_vote_only=by_vote_only)
    sim.observers.append(safety)
    sim.prepare(primaries)
    sim.note(f"{len(sim.nodes)} nodes, {primaries} primaries" + (", epochs by vote only" if by_vote_only else ""))
    sim.run(dice.choice((0, dice.randint(0, CALM_MS), CALM_MS + 1)))
    faults = Faults(sim, dice, by_vote_only=by_vote_only)
    if sim.now > CALM_MS:
        faults.kill_a_primary()
    faults.plan(sim.now + FAULT_PHASE_MS)
    sim.run(FAULT_PHASE_MS)
    faults.heal()
    healed_at = sim.now
    problems = _liveness(sim)
    return Outcome(seed, safety.violations + problems, sim.now - healed_at - STAYS_MS, sim.history)


def _liveness(sim: Simulation) -> list[str]:
    if not sim.run_until(lambda: not disagreements(sim), AGREEMENT_LIMIT_MS):
        return ["Not one healthy cluster after all faults were over:", *disagreements(sim)]
    sim.note("the cluster agrees")
    sim.run(STAYS_MS)
    sim.run_until(lambda: not disagreements(sim), STAYS_MS)  # a manual failover of before may just be at its end
    return [f"After it had agreed: {text}" for text in disagreements(sim)]


class Faults:
    """What goes wrong, and what operators do meanwhile, drawn from `dice`."""

    def __init__(self, sim: Simulation, dice: random.Random, *, by_vote_only: bool) -> None:
        self._sim = sim
        self._dice = dice
        self._by_vote_only = by_vote_only
        self._end = 0
        self._kinds: list[tuple[Callable[[], None], int]] = [
            (self._partition, 3), (self._one_way, 2), (self._cut_one_link, 2), (self._mend, 4), (self._noise, 2),
            (self._slow, 2), (self._crash, 4), (self._lose_power, 2), (self._stop, 3), (self._manual_failover, 3),
        ]
        if not by_vote_only:
            self._kinds += [(self._move_slot, 5), (self._takeover, 1), (self._bump, 1)]

    def plan(self, end: int) -> None:
        self._end = end

        def strike() -> None:
            if self._sim.now >= end:
                return
            kinds, weights = zip(*self._kinds, strict=True)
            self._dice.choices(kinds, weights)[0]()
            self._sim.clock.after(self._dice.randint(1, LONGEST_PAUSE_MS), strike)

        strike()

    def kill_a_primary(self) -> None:
        """In a cluster where all is well: its replicas then have to find out which of them has most of its data. The
        first node has two, if any has."""
        self._sim.run(self._dice.randrange(500))
        node = self._sim.nodes[0]
        self._sim.note(f"{node.index} crashes while all is well")
        node.crash()
        self._sim.run(self._dice.randint(100, 2_000))

    def heal(self) -> None:
        """Everything runs again, and an operator closes the slots that were left open."""
        sim = self._sim
        sim.note("heal")
        sim.network.heal()
        for node in sim.nodes:
            if node.core is None:
                node.start()
            node.resume()
            view = node.running.view
            for slot in {*view.migrating, *view.importing}:
                node.ask(events.SetSlot(slot, "stable"))

    # -- the network -----------------------------------------------------------------------------------------

    def _side(self) -> set[int]:
        return set(self._dice.sample(range(len(self._sim.nodes)), self._dice.randint(1, len(self._sim.nodes) - 1)))

    def _partition(self) -> None:
        side = self._side()
        self._sim.note(f"cut {sorted(side)} from the rest")
        self._sim.network.partition(side)

    def _one_way(self) -> None:
        side = self._side()
        self._sim.note(f"nothing gets from {sorted(side)} to the rest")
        self._sim.network.cuts |= {(a, b) for a in side for b in range(len(self._sim.nodes)) if b not in side}

    def _cut_one_link(self) -> None:
        a, b = self._dice.sample(range(len(self._sim.nodes)), 2)
        self._sim.note(f"cut {a} from {b}")
        self._sim.network.cuts |= {(a, b), (b, a)}

    def _mend(self) -> None:
        self._sim.note("mend the network")
        self._sim.network.heal()

    def _noise(self) -> None:
        self._sim.network.loss = self._dice.choice((0.01, 0.1, 0.3))
        self._sim.note(f"{self._sim.network.loss:.0%} of the messages break their link")

    def _slow(self) -> None:
        self._sim.network.max_delay = self._dice.choice((50, 300, 1_000))
        self._sim.note(f"delays up to {self._sim.network.max_delay} ms")

    # -- nodes -----------------------------------------------------------------------------------------------

    def _any(self) -> SimNode:
        return self._dice.choice(self._sim.nodes)

    def _later(self, action: Callable[[], None], limit_ms: int = LONGEST_ABSENCE_MS) -> None:
        """Some time later, unless everything has healed by then."""
        when = self._sim.now + self._dice.randint(1, limit_ms)
        if when < self._end:
            self._sim.clock.at(when, action)

    def _crash(self) -> None:
        node = self._any()
        if node.core is not None:
            self._sim.note(f"{node.index} crashes")
            node.crash()
            self._later(lambda: self._restart(node))

    def _lose_power(self) -> None:
        node = self._any()
        if node.core is not None:
            self._sim.note(f"{node.index} loses power")
            node.crash(power=True)
            self._later(lambda: self._restart(node))

    def _restart(self, node: SimNode) -> None:
        if node.core is None:
            self._sim.note(f"{node.index} starts again")
            node.start()

    def _stop(self) -> None:
        node = self._any()
        if node.core is not None and not node.stopped:
            self._sim.note(f"{node.index} is stopped")
            node.stopped = True
            self._later(lambda: self._resume(node))

    def _resume(self, node: SimNode) -> None:
        if node.stopped:
            self._sim.note(f"{node.index} goes on")
            node.resume()

    # -- operators -------------------------------------------------------------------------------------------

    def _ask(self, node: SimNode, event: events.OperatorEvent) -> str:
        answer = node.ask(event)
        self._sim.note(f"{node.index} is asked {event}: {answer}")
        return answer

    def _manual_failover(self) -> None:
        self._ask(self._any(), events.Failover(self._dice.choice(("", "", "force"))))

    def _takeover(self) -> None:
        self._ask(self._any(), events.Failover("takeover"))

    def _bump(self) -> None:
        self._ask(self._any(), events.BumpEpoch())

    def _move_slot(self) -> None:
        """As redis-cli does it, with time to go wrong between the steps."""
        source, target = self._dice.sample(self._sim.nodes, 2)
        if source.core is None or target.core is None or not source.info.slots:
            return
        start, end = self._dice.choice(source.info.slots)
        slot = self._dice.randint(start, min(end, SLOT_COUNT - 1))
        here, there = source.node_id, target.node_id
        steps = [
            (target, events.SetSlot(slot, "importing", here)), (source, events.SetSlot(slot, "migrating", there)),
            (target, events.SetSlot(slot, "node", there)), (source, events.SetSlot(slot, "node", there)),
        ]

        def go_on() -> None:
            node, event = steps.pop(0)
            if self._sim.now < self._end and self._ask(node, event) == "OK" and steps:
                self._sim.clock.after(self._dice.randint(1, self._dice.choice((300, 5_000))), go_on)

        go_on()

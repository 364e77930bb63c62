"""One life of some sentinels and servers, decided by a seed: faults drawn from it, then health, and what is wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from cluster.sentinel.failover import DISCONNECTED_TIMES
from cluster.sentinel.state import Primary
from tests.seeded_runs import Outcome
from tests.sentinel.checkers import Safety, Terms, agreement_limit_ms, disagreements
from tests.sentinel.faults import Faults, Seen
from tests.sentinel.parts import NAME, SentinelProcess, Server
from tests.sentinel.world import World

CALM_MS = 6_000
"""Time for the sentinels to find each other."""
FAULT_PHASE_MS = 40_000
NOTICED_TIMES = 3
"""What fell silent before the end of all faults is noticed within so many down-after-milliseconds, and may still lead
to a failover: whether all agree is not asked before."""
STAYS_MS = 3_000
"""They must not only agree but go on agreeing for that long."""
SYNC_LIMIT_MS = 2_500
HISTORY_SHOWN = 120
FIRST_PORT, PORTS_EACH = 6379, 100


@dataclass
class LifeOutcome(Outcome):
    seen: Counter[str] = field(default_factory=Counter)


class Life:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"schedule {seed}")
        dice = self.dice
        primaries = dice.choices((1, 2, 3), (7, 4, 1))[0]
        sentinels = dice.choice((3, 3, 3, 3, 4, 5)) if primaries < 3 else 3
        self.terms = Terms(
            sentinels, quorum=dice.choice((sentinels // 2 + 1, dice.randint(1, sentinels))),
            down_after_ms=dice.choice((1_000, 2_000)), failover_timeout_ms=dice.choice((3_000, 6_000, 10_000)),
            parallel_syncs=dice.randint(1, 2),
        )  # fmt: skip
        self.world = World(seed)
        self.world.sync_limit_ms = SYNC_LIMIT_MS
        self.safety = Safety(self.world, self.terms)
        self.seen = Seen(self.world)
        self.world.observers += [self.safety, self.seen]
        self.by_vote_only = dice.random() < 0.5
        self.healed_at = self.agreed_after_ms = 0
        self._people(primaries)
        self.faults = Faults(self.world, self.terms, dice, self.seen, by_vote_only=self.by_vote_only)

    def _people(self, primaries: int) -> None:
        world, terms = self.world, self.terms
        watched = {}
        for number in range(primaries):
            name, port = (f"{NAME}{number or ''}", FIRST_PORT + number * PORTS_EACH)
            watched[name] = port
            world.server(port, name=name)
            for replica in range(self.dice.choice((1, 2, 3, 3) if primaries == 1 else (1, 1, 2))):
                world.server(port + 1 + replica, port, name)
        options = (
            f"down-after-milliseconds {terms.down_after_ms}", f"failover-timeout {terms.failover_timeout_ms}",
            f"parallel-syncs {terms.parallel_syncs}",
        )  # fmt: skip
        for number in range(terms.sentinels):
            world.sentinel(5000 + number, *options, quorum=terms.quorum, watched=watched)
        world.note(f"{terms}, {len(watched)} primaries" + (", by vote only" if self.by_vote_only else ""))

    def run(self) -> list[str]:
        """What was wrong."""
        world = self.world
        world.clock.run(CALM_MS)
        self.faults.plan(world.now + FAULT_PHASE_MS)
        world.clock.run(FAULT_PHASE_MS)
        self._heal()
        self.healed_at = world.now
        problems = self._liveness()
        self._count_split_votes()
        return self.safety.violations + problems

    def _liveness(self) -> list[str]:
        world = self.world
        world.clock.run(NOTICED_TIMES * self.terms.down_after_ms)
        if not world.clock.run_until(
            lambda: not disagreements(world) and not self._is_late(), agreement_limit_ms(self.terms), 500
        ):
            return ["no agreement after all faults were over:", *disagreements(world)]
        self.agreed_after_ms = world.now - self.healed_at
        world.note("all agree")
        world.clock.run(STAYS_MS)
        return [f"after they had agreed: {text}" for text in disagreements(world)]

    def _is_late(self) -> bool:
        """Whether something is still under way that slow links have held up."""
        wires = [wire for one in self.world.sentinels.values() if one.alive for wire in one.wires.values()]
        return any(max(wire.busy_until) > self.world.now for wire in wires if not wire.closed)

    def _count_split_votes(self) -> None:
        candidates: dict[tuple[str, int], set[str]] = {}
        for (name, _, epoch), leader in self.safety.votes.items():
            candidates.setdefault((name, epoch), set()).add(leader)
        for election, voted_for in candidates.items():
            if len(voted_for) > 1 and election not in self.safety.elections:
                self.seen.count["a split vote"] += 1

    # -- the end of all faults -------------------------------------------------------------------------------

    def _heal(self) -> None:
        world = self.world
        world.note("heal")
        world.heal()
        for port, who in world.everybody().items():
            if isinstance(who, SentinelProcess):
                who.disk_full, who.disk_ms = False, 0
            else:
                who.priority = 100
                who.lies.clear()
            if who.frozen:
                world.thaw(port)
        dead = {port for port, who in world.everybody().items() if not who.alive} - self.faults.lost
        everybody = self.dice.random() < 0.4
        for port in sorted(dead if everybody else self._missed(dead)):
            world.note(f"{port} starts again")
            world.start(port)
        self._find_forgotten()
        self._say_one_address()
        if not everybody and dead and all(not world.everybody()[port].alive for port in dead):
            self.seen.count["health without a restart"] += 1

    def _find_forgotten(self) -> None:
        """A replica that follows nobody of use, and that no sentinel knows (since RESET, or REMOVE and MONITOR), stays
        astray until an operator sees to it, as in Redis."""
        world = self.world
        living = [one for one in world.sentinels.values() if one.alive]
        for port, server in world.servers.items():
            views = [one.primaries[server.name] for one in living]
            if not views or not server.alive or any(self._knows(view, port) for view in views):
                continue
            newest = max(views, key=lambda view: view.config_epoch).current_address.port
            if server.follows != newest:
                world.note(f"nobody knows {port}, and an operator lets it follow {newest}")
                server.follow(newest)

    def _say_one_address(self) -> None:
        """Where operators (by MONITOR) have said different things, and who knew of an epoch is gone, they have to say
        one thing; and the new one to whoever was told of an address where nobody lives, and knows no other sentinel."""
        living = [one for one in self.world.sentinels.values() if one.alive]
        for name in living[0].primaries if living else ():
            views = [one.primaries[name] for one in living]
            newest = max(views, key=lambda view: view.config_epoch)
            port = newest.current_address.port
            for sentinel, view in zip(living, views, strict=True):
                is_lost = not view.peers and not self.world.servers[view.current_address.port].alive
                if view.current_address.port != port and (is_lost or not newest.config_epoch):
                    self.world.note(f"an operator tells {sentinel.port} that {name} is at {port}")
                    self.world.later(0, partial(self.faults.monitor_anew, sentinel, name, port), sentinel.port)

    def _knows(self, view: Primary, port: int) -> bool:
        addresses = [view.address, *(one.address for one in view.replicas.values())]
        return port in [address.port for address in addresses]

    def _missed(self, dead: set[int]) -> set[int]:
        """Of the dead, those without whom there is no way back: sentinels until they are enough, and all servers of a
        primary that none of the living may follow."""
        world = self.world
        living = [one for one in world.sentinels.values() if one.alive]
        short = max(0, self.terms.needed - len(living))
        missed = {port for port in sorted(dead) if port in world.sentinels}
        missed = set(sorted(missed)[:short])
        for name in sorted({server.name for server in world.servers.values()}):
            servers = {port: one for port, one in world.servers.items() if one.name == name}
            if not self._can_go_on(living, name, servers):
                missed |= dead & set(servers)
        return missed

    def _can_go_on(self, living: list[SentinelProcess], name: str, servers: dict[int, Server]) -> bool:
        """Whether the primary that the sentinels will agree on is there, or all of them know the same replicas."""
        newest = max((one.primaries[name] for one in living), key=lambda view: view.config_epoch, default=None)
        if newest is None:
            return False
        primary = servers[newest.current_address.port]
        if primary.alive:
            return primary.follows is None
        known = [{one.address.port for one in sentinel.primaries[name].replicas.values()} for sentinel in living]
        return any(self._is_fit(one) and all(port in some for some in known) for port, one in servers.items())

    def _is_fit(self, server: Server) -> bool:
        """Whether it may be promoted: it has not been without a primary for too long, nor is it held for one that must
        not be."""
        behind_ms = 0 if server.linked_at is None else self.world.now - server.linked_at
        known = [
            replica for one in self.world.sentinels.values() if one.alive
            for replica in one.primaries[server.name].replicas.values() if replica.address.port == server.port
        ]
        if any(not replica.priority for replica in known):  # a primary says no other, to redis-sentinel neither
            return False
        return server.alive and (server.follows is None or behind_ms <= DISCONNECTED_TIMES * self.terms.down_after_ms)


def run_seed(seed: int) -> LifeOutcome:
    """One life from its seed alone."""
    life = Life(seed)
    problems = life.run()
    return LifeOutcome(
        seed, problems, life.agreed_after_ms, life.world.history(), "tests.sentinel.run", HISTORY_SHOWN,
        life.seen.count,
    )  # fmt: skip

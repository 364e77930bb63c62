"""One life of some sentinels and servers, decided by a seed: faults drawn from it, then health, and what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sentinel.parts import SentinelProcess, Server
from tests.sentinel.world import usual

FAULT_SECONDS = 60
HEALTHY_SECONDS = 180
"""Long enough for what waits longest: two failover-timeouts, and INFO in between."""


class Life:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.replicas = self.rng.randint(1, 3)
        sentinels = self.rng.choice((3, 3, 5))
        self.quorum = self.rng.randint(1, sentinels)
        self.world = usual(seed, f"parallel-syncs {self.rng.randint(1, 2)}", quorum=self.quorum,
                           replicas=self.replicas, sentinels=sentinels)  # fmt: skip
        self.sentinels = sentinels

    def run(self) -> list[str]:
        world, rng = self.world, self.rng
        end = world.now + FAULT_SECONDS * 1000
        faults = [
            self.kill_server, self.kill_server, self.kill_primary, self.kill_primary, self.kill_sentinel, self.freeze,
            self.partition, self.partition, self.start_somebody, self.start_somebody, self.heal, self.lie, self.force,
            self.fill_disk,
        ]  # fmt: skip
        while world.now < end:
            rng.choice(faults)()
            world.run(rng.choice((0.05, 0.3, 1.0, 3.0, 8.0)))
        self.get_well()
        for _ in range(HEALTHY_SECONDS):
            world.run(1)
            if world.agreed():
                break
        else:
            return [*self.unsafe(), "no agreement", world.story()[-6000:]]
        return self.unsafe()

    def get_well(self) -> None:
        world = self.world
        world.heal()
        for port, who in world.everybody().items():
            if isinstance(who, SentinelProcess):
                who.disk_full = False
            else:
                who.priority = 100
            if who.frozen:
                world.thaw(port)
            if not who.alive:
                world.start(port)

    def unsafe(self) -> list[str]:
        world = self.world
        problems = [f"leaders of epoch {epoch}: {who}" for epoch, who in world.elected.items() if len(who) > 1]
        problems += [f"votes of {voter}: {given}" for voter, given in world.votes.items() if len(given) > 1]
        needed = max(self.sentinels // 2 + 1, self.quorum)
        for epoch, elected in world.elected.items():
            voters = {port for (port, at), given in world.votes.items() if at == epoch and given & elected}
            leaders = {one.port for one in world.sentinels.values() if one.run_id in elected}
            if len(voters | leaders) < needed:
                problems.append(f"epoch {epoch}: elected by {sorted(voters | leaders)}, {needed} are needed")
        return problems

    # -- faults ----------------------------------------------------------------------------------------------

    def _pick(self, which: Callable[[Server | SentinelProcess], bool]) -> int | None:
        found = [port for port, who in self.world.everybody().items() if which(who)]
        return self.rng.choice(found) if found else None

    def kill_server(self) -> None:
        port = self._pick(lambda who: isinstance(who, Server) and who.alive)
        if port is not None:
            self.world.kill(port)

    def kill_primary(self) -> None:
        port = self._pick(lambda who: isinstance(who, Server) and who.alive and who.follows is None)
        if port is not None:
            self.world.kill(port)

    def kill_sentinel(self) -> None:
        port = self._pick(lambda who: isinstance(who, SentinelProcess) and who.alive)
        if port is not None:
            self.world.kill(port)

    def freeze(self) -> None:
        port = self._pick(lambda who: who.alive and not who.frozen)
        if port is not None:
            self.world.freeze(port)
            self.world.later(self.rng.choice((500, 3000, 9000)), lambda: self._thaw(port))

    def _thaw(self, port: int) -> None:
        if self.world.everybody()[port].frozen:
            self.world.thaw(port)

    def partition(self) -> None:
        ports = list(self.world.everybody())
        some = self.rng.sample(ports, self.rng.randint(1, len(ports) - 1))
        self.world.cut(some, [port for port in ports if port not in some])

    def heal(self) -> None:
        self.world.heal()

    def start_somebody(self) -> None:
        port = self._pick(lambda who: not who.alive)
        if port is not None:
            self.world.start(port)

    def lie(self) -> None:
        """A replica says something else of its priority from now on."""
        port = self._pick(lambda who: isinstance(who, Server))
        if port is not None:
            self.world.servers[port].priority = self.rng.choice((0, 1, 100))

    def force(self) -> None:
        port = self._pick(lambda who: isinstance(who, SentinelProcess) and who.alive and not who.frozen)
        if port is not None:
            self.world.force_failover(port)

    def fill_disk(self) -> None:
        port = self._pick(lambda who: isinstance(who, SentinelProcess))
        if port is not None:
            sentinel = self.world.sentinels[port]
            sentinel.disk_full = not sentinel.disk_full


def run_seed(seed: int) -> list[str]:
    """What was wrong in that life."""
    return Life(seed).run()



"""What goes wrong in a life, and what operators do meanwhile: some of it at any time, some just when it hurts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from cluster.sentinel import operators
from cluster.sentinel.events import Publish, Reply
from cluster.sentinel.state import NONE, State
from tests.sentinel.checkers import Terms, named, port_in
from tests.sentinel.parts import Observer, SentinelProcess, Server
from tests.sentinel.wires import HOST, Request
from tests.sentinel.world import World

LONGEST_PAUSE_MS = 3_000
"""Between two faults."""
LONGEST_ABSENCE_MS = 12_000
"""Of who is stopped, or down; longer than it takes until a primary is replaced."""
AMBUSHES = 5
"""At most so many kinds of them in a life."""

Action = Callable[[SentinelProcess, str], None]


class Seen(Observer):
    """Counts what has befallen a life, so that a test can tell whether all of it does."""

    def __init__(self, world: World) -> None:
        self.count: Counter[str] = Counter()
        self._world = world
        self._under_way: set[tuple[str, int]] = set()

    def failing_over(self, name: str) -> bool:
        return any(name == one for one, _ in self._under_way)

    def leads(self, port: int) -> bool:
        sentinel = self._world.sentinels[port]
        return any((name, port) in self._under_way and one.stage > 1 for name, one in sentinel.primaries.items())

    def on_start(self, who: SentinelProcess) -> None:
        self._under_way = {(name, port) for name, port in self._under_way if port != who.port}

    def on_told(self, who: SentinelProcess, effect: Publish) -> None:
        name = named(effect.text)
        match effect.channel:
            case "+try-failover":
                if {one for one, _ in self._under_way} - {name}:
                    self.count["two failovers at once"] += 1
                self._under_way.add((name, who.port))
            case "+tilt":
                self.count["TILT"] += 1
                if any(port == who.port for _, port in self._under_way):
                    self.count["TILT during a failover"] += 1
            case "+failover-end" | "+switch-master" | "-monitor" | "+reset-master":
                self._under_way.discard((name, who.port))
            case event if event.startswith("-failover-abort"):
                self._under_way.discard((name, who.port))

    def on_reply(self, who: SentinelProcess, port: int, request: Request, reply: Reply) -> None:
        if request[0] == "SENTINEL" and isinstance(reply, list) and reply[1] != b"*":
            epoch = reply[2]
            if isinstance(epoch, int) and epoch < who.core.state.current_epoch:
                self.count["a vote that comes when its epoch is over"] += 1

    def on_order(self, who: SentinelProcess, server: Server, port: int | None) -> None:
        if port is None and who.alive and who.primaries[server.name].stage == NONE:
            self.count["a promotion that is carried out after it was given up"] += 1


class Faults(Observer):
    """`plan` begins them; `lost`: sentinels that never come back."""

    def __init__(self, world: World, terms: Terms, dice: random.Random, seen: Seen, *, by_vote_only: bool) -> None:
        self.lost: set[int] = set()
        self._world = world
        self._terms = terms
        self._dice = dice
        self._seen = seen
        self._end = 0
        self._kinds: list[tuple[Callable[[], None], int]] = [
            (self._kill_server, 3), (self._kill_primary, 3), (self._kill_primaries, 2), (self._kill_sentinel, 3),
            (self._lose_any_sentinel, 1), (self._stop, 2), (self._partition, 3), (self._one_way, 2),
            (self._cut_one_link, 2), (self._mend, 4), (self._slow, 2), (self._noise, 2), (self._start_somebody, 4),
            (self._lie_about_priority, 3), (self._lie_about_offset, 2), (self._go_astray, 2), (self._jump, 1),
            (self._fill_disk, 1), (self._slow_disk, 1),
        ]  # fmt: skip
        ambushes: list[tuple[str, Action]] = [
            ("+elected-leader", self._lose_sentinel), ("+elected-leader", self._kill_for_a_while),
            ("+failover-state-wait-promotion", self._kill_the_promoted), ("+promoted-slave", self._kill_the_promoted),
            ("+try-failover", self._return_the_old), ("+failover-state-wait-promotion", self._return_the_old),
            ("+try-failover", self._kill_another_primary), ("+try-failover", self._delay_its_votes),
            ("+vote-for-leader", self._kill_for_a_while), ("+vote-for-leader", self._slow_its_disk),
            ("+elected-leader", self._jump_its_clock), ("+slave-reconf-sent", self._kill_for_a_while),
            ("+odown", self._cut_it_off), ("+sdown", self._refuse_its_disk),
        ]  # fmt: skip
        if not by_vote_only:
            self._kinds += [(self._force, 3), (self._reset, 2), (self._make_anew, 1)]
            ambushes += [
                ("+elected-leader", self._reset_it), ("+elected-leader", self._make_it_anew),
                ("+promoted-slave", self._reset_it), ("+try-failover", self._make_it_anew),
                ("+try-failover", self._force_elsewhere), ("+elected-leader", self._force_elsewhere),
            ]  # fmt: skip
        self._ambushes = dice.sample(ambushes, dice.randint(1, AMBUSHES))

    def plan(self, end: int) -> None:
        """Something every now and then until `end`."""
        self._end = end
        self._world.observers.append(self)
        kinds, weights = zip(*self._kinds, strict=True)

        def strike() -> None:
            if self._world.now < end:
                self._dice.choices(kinds, weights)[0]()
                self._world.later(self._dice.randint(50, LONGEST_PAUSE_MS), strike)

        strike()

    def on_told(self, who: SentinelProcess, effect: Publish) -> None:
        """Ambushes: each time, or nearly so, that it comes to that."""
        if self._world.now >= self._end:
            return
        for event, action in self._ambushes:
            if event == effect.channel and self._dice.random() < 0.7:
                text = effect.text
                self._later(partial(action, who, text), self._dice.choice((1, 20, 300, 1_500)))

    def _later(self, action: Callable[[], None], limit_ms: int = LONGEST_ABSENCE_MS) -> None:
        """Some time later, unless everything has healed by then."""
        when = self._dice.randint(1, limit_ms)
        if self._world.now + when < self._end:
            self._world.later(when, action)

    def _note(self, kind: str, text: str) -> None:
        self._seen.count[kind] += 1
        self._world.note(text)

    # -- whom ------------------------------------------------------------------------------------------------

    def _pick(self, which: Callable[[Server | SentinelProcess], bool]) -> int | None:
        found = [port for port, who in self._world.everybody().items() if which(who)]
        return self._dice.choice(found) if found else None

    def _server(self, which: Callable[[Server], bool] = lambda server: server.alive) -> Server | None:
        port = self._pick(lambda who: isinstance(who, Server) and which(who))
        return None if port is None else self._world.servers[port]

    def _sentinel(self) -> SentinelProcess | None:
        """One that an operator can talk to."""
        port = self._pick(lambda who: isinstance(who, SentinelProcess) and who.alive and not who.stands_still)
        return None if port is None else self._world.sentinels[port]

    def _names(self) -> list[str]:
        return sorted({server.name for server in self._world.servers.values()})

    # -- who dies --------------------------------------------------------------------------------------------

    def _kill(self, port: int, kind: str) -> None:
        power = self._dice.random() < 0.3
        self._note(kind, f"{port} {'loses power' if power else 'is killed'} ({kind})")
        if port in self._world.sentinels and self._seen.leads(port):
            self._seen.count["a sentinel lost while it leads"] += 1
        self._world.kill(port, power=power)

    def _kill_server(self) -> None:
        server = self._server()
        if server is not None:
            self._kill(server.port, "a server dies")

    def _kill_primary(self) -> None:
        server = self._server(lambda server: server.alive and server.follows is None)
        if server is not None:
            self._kill(server.port, "a primary dies")

    def _kill_primaries(self) -> None:
        """All at once, or one shortly after the other."""
        apart_ms = self._dice.choice((0, 0, 300, 2_000))
        ports = [port for port, one in self._world.servers.items() if one.alive and one.follows is None]
        for number, port in enumerate(ports if len(self._names()) > 1 else []):
            self._world.later(1 + number * apart_ms, partial(self._kill_if_alive, port))

    def _kill_if_alive(self, port: int) -> None:
        if self._world.servers[port].alive and self._world.now < self._end:
            self._kill(port, "primaries die together")

    def _kill_sentinel(self) -> None:
        port = self._pick(lambda who: isinstance(who, SentinelProcess) and who.alive)
        if port is not None:
            self._kill_for_a_while(self._world.sentinels[port])

    def _kill_for_a_while(self, who: SentinelProcess, _text: str = "") -> None:
        if who.alive:
            self._kill(who.port, "a sentinel dies")
            self._later(partial(self._restart, who.port), self._dice.choice((500, LONGEST_ABSENCE_MS)))

    def _lose_any_sentinel(self) -> None:
        port = self._pick(lambda who: isinstance(who, SentinelProcess) and who.alive)
        if port is not None:
            self._lose_sentinel(self._world.sentinels[port])

    def _lose_sentinel(self, who: SentinelProcess, _text: str = "") -> None:
        """For good, if the others are enough."""
        if who.alive and len(self.lost) < self._terms.sentinels - self._terms.needed:
            self.lost.add(who.port)
            self._kill(who.port, "a sentinel is lost for good")

    def _kill_the_promoted(self, _who: SentinelProcess, text: str) -> None:
        server = self._world.servers[port_in(text)]
        if server.alive:
            self._kill(server.port, "a promoted replica dies at once")

    def _kill_another_primary(self, _who: SentinelProcess, text: str) -> None:
        others = [one for one in self._world.servers.values() if one.alive and one.follows is None]
        for other in others:
            if other.name != named(text):
                self._kill(other.port, "primaries die together")

    def _start_somebody(self) -> None:
        port = self._pick(lambda who: not who.alive and who.port not in self.lost)
        if port is not None:
            self._restart(port)

    def _return_the_old(self, _who: SentinelProcess, text: str) -> None:
        for server in self._world.servers.values():
            if server.name == named(text) and not server.alive and server.file_follows is None:
                self._restart(server.port)

    def _restart(self, port: int) -> None:
        who = self._world.everybody()[port]
        if who.alive or port in self.lost:
            return
        kind = "a sentinel returns"
        if isinstance(who, Server):
            kind = "a replica returns" if who.file_follows else "a primary returns"
            if not who.file_follows and self._seen.failing_over(who.name):
                self._seen.count["a primary returns during its failover"] += 1
        self._note(kind, f"{port} starts again")
        self._world.start(port)

    def _stop(self) -> None:
        port = self._pick(lambda who: who.alive and not who.stands_still)
        if port is not None:
            self._note("somebody stands still", f"{port} is stopped")
            self._world.freeze(port)
            self._world.later(self._dice.choice((500, 3_000, 9_000)), partial(self._resume, port))

    def _resume(self, port: int) -> None:
        if self._world.everybody()[port].frozen:
            self._world.note(f"{port} goes on")
            self._world.thaw(port)

    # -- the network -----------------------------------------------------------------------------------------

    def _sides(self) -> tuple[list[int], list[int]]:
        ports = list(self._world.everybody())
        some = self._dice.sample(ports, self._dice.randint(1, len(ports) - 1))
        return sorted(some), [port for port in ports if port not in some]

    def _partition(self) -> None:
        some, others = self._sides()
        self._note("a partition", f"cut {some} from the rest")
        self._world.cut(some, others)

    def _one_way(self) -> None:
        some, others = self._sides()
        self._note("a one-way partition", f"nothing gets from {some} to the rest")
        self._world.network.cut(some, others)

    def _cut_one_link(self) -> None:
        one, other = self._dice.sample(list(self._world.everybody()), 2)
        self._note("one link is cut", f"cut {one} from {other}")
        self._world.cut([one], [other])

    def _cut_it_off(self, who: SentinelProcess, _text: str) -> None:
        """From half of the other sentinels, so that none of those who stand may win."""
        others = [port for port in self._world.sentinels if port != who.port]
        some = self._dice.sample(others, (len(others) + 1) // 2)
        self._note("a partition", f"cut {who.port} from {some}")
        self._world.cut([who.port], some)

    def _mend(self) -> None:
        self._world.note("mend the network")
        self._world.heal()

    def _some_ways(self, share: float) -> list[tuple[int, int]]:
        ports = list(self._world.everybody())
        ways = [(one, other) for one in ports for other in ports if one != other]
        return [way for way in ways if self._dice.random() < share]

    def _slow(self) -> None:
        limit = self._dice.choice((100, 1_000, 4_000))
        self._note("slow links", f"some links take up to {limit} ms")
        self._world.network.slow = dict.fromkeys(self._some_ways(0.5), limit)

    def _noise(self) -> None:
        loss = self._dice.choice((0.02, 0.1, 0.4))
        self._note("lost packets", f"{loss:.0%} of what is sent is lost on some links")
        self._world.network.loss = dict.fromkeys(self._some_ways(0.5), loss)

    def _delay_its_votes(self, who: SentinelProcess, _text: str) -> None:
        self._note("slow links", f"what {who.port} is told by sentinels is late")
        for port in self._world.sentinels:
            self._world.network.slow[port, who.port] = self._dice.choice((4_000, 15_000))

    # -- what is not as it says ------------------------------------------------------------------------------

    def _replica(self) -> Server | None:
        return self._server(lambda server: server.alive and server.follows is not None)

    def _lie_about_priority(self) -> None:
        server = self._replica()
        if server is not None:
            server.priority = self._dice.choice((0, 0, 1, 100))
            self._note("a replica lies about its priority", f"{server.port} has priority {server.priority}")

    def _lie_about_offset(self) -> None:
        server = self._replica()
        if server is not None:
            server.lies["slave_repl_offset"] = self._dice.choice(("0", "999999999", "-5"))
            self._note("a replica lies about its offset", f"{server.port} says {server.lies}")

    def _go_astray(self) -> None:
        """A replica follows another one of the same data, or nobody that there is; or only says so."""
        server = self._replica()
        if server is None:
            return
        others = [one.port for one in self._world.servers.values() if one.name == server.name and one is not server]
        port = self._dice.choice([*others, 9_999])
        self._note("a replica reports another primary", f"{server.port} goes astray")
        if self._dice.random() < 0.5:
            server.follow(port)
        else:
            server.lies["master_port"] = str(port)

    # -- sentinels' machines ---------------------------------------------------------------------------------

    def _jump(self) -> None:
        sentinel = self._sentinel()
        if sentinel is not None:
            self._jump_its_clock(sentinel, "")

    def _jump_its_clock(self, who: SentinelProcess, _text: str) -> None:
        jump = self._dice.choice((1_500, 5_000, 60_000))
        self._note("a clock that jumps", f"the clock of {who.port} jumps by {jump} ms")
        who.clock_ahead_ms += jump

    def _fill_disk(self) -> None:
        sentinel = self._sentinel()
        if sentinel is not None:
            self._refuse_its_disk(sentinel, "")

    def _refuse_its_disk(self, who: SentinelProcess, _text: str) -> None:
        self._note("a disk that refuses", f"the disk of {who.port} takes nothing")
        who.disk_full = True
        self._later(partial(self._empty_disk, who))

    def _empty_disk(self, who: SentinelProcess) -> None:
        self._world.note(f"the disk of {who.port} is well")
        who.disk_full, who.disk_ms = False, 0

    def _slow_disk(self) -> None:
        sentinel = self._sentinel()
        if sentinel is not None:
            self._slow_its_disk(sentinel, "")

    def _slow_its_disk(self, who: SentinelProcess, _text: str) -> None:
        who.disk_ms = self._dice.choice((100, 700, 3_000))
        self._note("a slow disk", f"the disk of {who.port} takes up to {who.disk_ms} ms")
        self._later(partial(self._empty_disk, who))

    # -- operators -------------------------------------------------------------------------------------------

    def _note_order(self, what: str, who: SentinelProcess, name: str) -> None:
        when = " during a failover" if self._seen.failing_over(name) else ""
        self._note(what + when, f"{who.port} is told {what} {name}")

    def _force(self) -> None:
        """FAILOVER, at times of two sentinels at once, who then take the same epoch."""
        name = self._dice.choice(self._names())
        for _ in range(self._dice.choice((1, 1, 2))):
            sentinel = self._sentinel()
            if sentinel is not None:
                self._note_order("FAILOVER", sentinel, name)
                self._world.force_failover(sentinel.port, name)

    def _force_elsewhere(self, who: SentinelProcess, text: str) -> None:
        sentinel = self._sentinel()
        if sentinel is not None and sentinel is not who:
            self._note_order("FAILOVER", sentinel, named(text))
            self._world.force_failover(sentinel.port, named(text))

    def _reset(self) -> None:
        sentinel = self._sentinel()
        if sentinel is not None:
            self._reset_it(sentinel, f"{self._dice.choice(self._names())} ")

    def _reset_it(self, who: SentinelProcess, text: str) -> None:
        name = named(text)
        if not who.alive or who.stands_still or name not in who.primaries:
            return
        self._note_order("RESET", who, name)
        self._world.operate(who.port, lambda state: operators.reset(state, state.primaries[name]))

    def _make_anew(self) -> None:
        sentinel = self._sentinel()
        if sentinel is not None:
            self._make_it_anew(sentinel, f"{self._dice.choice(self._names())} ")

    def _make_it_anew(self, who: SentinelProcess, text: str) -> None:
        """REMOVE, and MONITOR with the address that most of the others have."""
        name = named(text)
        views = [one.primaries[name].current_address.port for one in self._world.sentinels.values() if one is not who]
        if not who.alive or who.stands_still or name not in who.primaries:
            return
        self._note_order("REMOVE and MONITOR", who, name)
        self.monitor_anew(who, name, Counter(views).most_common(1)[0][0])

    def monitor_anew(self, who: SentinelProcess, name: str, port: int) -> None:
        terms = self._terms

        def again(state: State) -> None:
            operators.remove(state, name)
            operators.monitor(state, name, HOST, str(port), str(terms.quorum))
            operators.set_options(state, name, [
                "down-after-milliseconds", str(terms.down_after_ms),
                "failover-timeout", str(terms.failover_timeout_ms), "parallel-syncs", str(terms.parallel_syncs),
            ])  # fmt: skip

        self._world.operate(who.port, again)

"""What must hold in every life: `Safety` looks on all the time, `disagreements` is asked once the faults are over.

They stand outside the system. Votes, and who called a primary down, are counted anew, from what the sentinels answered
each other; what has to be on disk is looked for there. Of a core's own state only that is taken which says what it
speaks of: the epoch of its failover, who it knows, which of its connections are broken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cluster.sentinel.events import Publish, Reply
from cluster.sentinel.failover import NEXT_TRY_TIMEOUTS
from cluster.sentinel.state import MAX_DESYNC_MS, Periods, Primary
from tests.sentinel.parts import Observer, SentinelProcess, Server
from tests.sentinel.wires import Request
from tests.sentinel.world import World

PERIODS = Periods()
FRESH_ASKS = 5
FRESH_PINGS = 5
PATIENCE_HELLOS = 4
SLACK_MS = PERIODS.tilt_trigger + 500
"""Who stands still for less than that may act on what it has heard as much longer ago."""
SURELY_FRESH_MS = 1_500
"""Whoever has answered INFO so lately, and is no worse than that, can be promoted."""


@dataclass(frozen=True)
class Terms:
    """What all sentinels of a life are told about their primaries."""

    sentinels: int
    quorum: int
    down_after_ms: int
    failover_timeout_ms: int
    parallel_syncs: int

    @property
    def needed(self) -> int:
        """So many must be there for a failover, once all know each other."""
        return max(self.sentinels // 2 + 1, self.quorum)


@dataclass(frozen=True)
class Election:
    port: int
    needed: int
    electorate: frozenset[str]


@dataclass
class Heard:
    """What a server's last INFO said to a sentinel, and since when it says so without a break."""

    at: int
    fields: dict[str, str]
    since: dict[str, int] = field(default_factory=dict)


class Safety(Observer):
    def __init__(self, world: World, terms: Terms) -> None:
        self.violations: list[str] = []
        self.elections: dict[tuple[str, int], list[Election]] = {}
        self.votes: dict[tuple[str, int, int], str] = {}
        """For whom, by primary, voter and epoch: those that somebody heard of, or that elected the voter itself."""
        self.by_hand: set[str] = set()
        """Of these primaries an operator may have made two of one epoch, which is settled later."""
        self._world = world
        self._terms = terms
        self._received: dict[tuple[str, int, int], dict[int, str]] = {}
        self._down: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
        self._forced: set[tuple[str, int, int]] = set()
        self._leading: set[tuple[str, int]] = set()
        self._selected: set[tuple[int, int]] = set()
        self._syncing: dict[tuple[str, int], set[str]] = {}
        self._infos: dict[tuple[int, int], Heard] = {}
        self._answered: dict[tuple[int, int], int] = {}
        self._silent_until: dict[int, int] = {}
        self._said: dict[tuple[int, str], int] = {}
        self._addresses: dict[tuple[str, int], int] = {}
        self._voted: dict[tuple[int, str], int] = {}

    def _wrong(self, who: SentinelProcess, text: str) -> None:
        self._world.note(f"WRONG: {who.port} {text}")
        self.violations.append(f"{who.port} {text}, at {self._world.history()[-1].split()[0]} ms")

    def _name_at(self, port: int) -> str:
        server = self._world.servers.get(port)
        return "" if server is None else server.name

    # -- votes -----------------------------------------------------------------------------------------------

    def on_answer(self, who: SentinelProcess, asker: SentinelProcess, request: Request, down: bool, leader: str,
                  epoch: int) -> None:  # fmt: skip
        name = self._name_at(int(request[3]))
        if down and who.clock_ms < self._silent_until.get(who.port, 0):
            self._wrong(who, f"calls {name} down while in TILT")
        if not leader:
            return
        self._note_vote(who, name, epoch, leader)
        if on_disk(who, "leader-epoch", name) < epoch:
            self._wrong(who, f"tells its vote in epoch {epoch} before that is on disk")

    def _note_vote(self, who: SentinelProcess, name: str, epoch: int, leader: str) -> None:
        self._voted[who.port, name] = max(epoch, self._voted.get((who.port, name), 0))
        before = self.votes.setdefault((name, who.port, epoch), leader)
        if before != leader:
            self._wrong(who, f"voted for two in epoch {epoch} of {name}: {before} and {leader}")

    def on_reply(self, who: SentinelProcess, port: int, request: Request, reply: Reply) -> None:
        now = self._world.now
        self._answered[who.port, port] = now
        if request[0] == "INFO" and isinstance(reply, bytes):
            self._hear_info(who, port, reply.decode())
        elif request[0] == "SENTINEL" and isinstance(reply, list):
            down, leader, epoch = reply
            about = int(request[3])
            name = self._name_at(about)
            said = self._down.setdefault((name, who.port), {})
            if down:
                said[port] = (about, now)
            else:
                said.pop(port, None)
            if isinstance(leader, bytes) and leader != b"*" and isinstance(epoch, int):
                self._received.setdefault((name, who.port, epoch), {})[port] = leader.decode()

    # -- what sentinels tell ---------------------------------------------------------------------------------

    def on_start(self, who: SentinelProcess) -> None:
        self._silent_until.pop(who.port, None)
        for name in {server.name for server in self._world.servers.values()}:
            self._begin_anew(who, name)

    def _leads_no_more(self, who: SentinelProcess, name: str) -> None:
        self._leading.discard((name, who.port))
        self._syncing.pop((name, who.port), None)

    def _begin_anew(self, who: SentinelProcess, name: str) -> None:
        """It knows nothing of the replicas of a primary any more."""
        self._leads_no_more(who, name)
        for port in [port for port, server in self._world.servers.items() if server.name == name]:
            self._infos.pop((who.port, port), None)

    def on_tick(self, who: SentinelProcess, since_last_ms: int) -> None:
        if since_last_ms > PERIODS.tilt_trigger:
            self._silent_until[who.port] = who.clock_ms + PERIODS.tilt_period

    def on_told(self, who: SentinelProcess, effect: Publish) -> None:
        event, text = effect.channel, effect.text
        name = named(text)
        if event in ("+sdown", "+odown") and who.clock_ms < self._silent_until.get(who.port, 0):
            self._wrong(who, f"tells {event} while in TILT")
        match event:
            case "+vote-for-leader":
                self._own_votes(who)
            case "+odown":
                self._check_quorum(who, name)
            case "+try-failover":
                self._check_start(who, name)
            case "+elected-leader":
                self._check_elected(who, name)
            case "+selected-slave":
                self._check_choice(who, name, port_in(text))
            case "+slave-reconf-sent" | "+slave-reconf-done" | "-slave-reconf-sent-timeout":
                self._check_syncs(who, name, event, text)
            case "+convert-to-slave" | "+fix-slave-config":
                self._check_patience(who, name, event, port_in(text))
            case "+switch-master" | "+reset-master" | "+monitor":
                self._begin_anew(who, name)
            case "-monitor":
                self._begin_anew(who, name)
                self._said.pop((who.port, name), None)
                self.by_hand.add(name)
            case "+failover-end":
                self._syncing.pop((name, who.port), None)
            case _ if event.startswith("-failover-abort"):
                self._leads_no_more(who, name)
        if event == "+reset-master":
            self.by_hand.add(name)

    def _own_votes(self, who: SentinelProcess) -> None:
        for name, primary in who.primaries.items():
            if primary.leader and on_disk(who, "leader-epoch", name) == primary.leader_epoch:
                self._note_vote(who, name, primary.leader_epoch, primary.leader)

    def _check_quorum(self, who: SentinelProcess, name: str) -> None:
        """The others' words about this address that it has heard lately, and its own."""
        address, oldest = who.primaries[name].address.port, self._world.now - FRESH_ASKS * PERIODS.ask_period - SLACK_MS
        said = self._down.get((name, who.port), {}).values()
        count = 1 + sum(1 for about, at in said if about == address and at >= oldest)
        if count < self._terms.quorum:
            self._wrong(who, f"holds {name} for down by the word of {count}; the quorum is {self._terms.quorum}")

    def on_forced(self, who: SentinelProcess, name: str) -> None:
        self.by_hand.add(name)
        self._forced.add((name, who.port, who.primaries[name].failover_epoch))

    def _check_start(self, who: SentinelProcess, name: str) -> None:
        if (name, who.port, who.primaries[name].failover_epoch) in self._forced:
            return
        self._check_quorum(who, name)
        if who.clock_ms < self._silent_until.get(who.port, 0):
            self._wrong(who, "starts a failover while in TILT")

    def _check_elected(self, who: SentinelProcess, name: str) -> None:
        primary = who.primaries[name]
        epoch = primary.failover_epoch
        self._leading.add((name, who.port))
        if (name, who.port, epoch) in self._forced:
            return
        votes = self._received.get((name, who.port, epoch), {})
        count = sum(1 for leader in votes.values() if leader == who.run_id)
        votes_for_itself = (primary.leader, primary.leader_epoch) == (who.run_id, epoch)
        if votes_for_itself and on_disk(who, "leader-epoch", name) >= epoch:
            self._note_vote(who, name, epoch, who.run_id)
            count += 1
        electorate = frozenset({who.run_id, *primary.peers})
        needed = max(len(electorate) // 2 + 1, self._terms.quorum)
        if count < needed:
            self._wrong(who, f"leads the failover of {name} with {count} votes in epoch {epoch}; it needs {needed}")
        mine = Election(who.port, needed, electorate)
        for other in self.elections.setdefault((name, epoch), []):
            # Who has just been told to forget the others (RESET, or REMOVE and MONITOR) may be enough by itself.
            if mine.needed + other.needed > len(mine.electorate | other.electorate):
                self._wrong(who, f"and {other.port} both lead the failover of {name} in epoch {epoch}")
        self.elections[name, epoch].append(mine)

    # -- what servers are told -------------------------------------------------------------------------------

    def on_order(self, who: SentinelProcess, server: Server, port: int | None) -> None:
        if port is None:
            if (who.port, server.port) not in self._selected:
                self._wrong(who, f"promotes {server.port} without having been elected for that")
        elif self._name_at(port) != server.name:
            self._wrong(who, f"lets {server.port} follow {port}, which has other data")

    def _hear_info(self, who: SentinelProcess, port: int, text: str) -> None:
        now = self._world.now
        fields = dict(line.partition(":")[::2] for line in text.split("\r\n") if line)
        before = self._infos.get((who.port, port))
        since = {}
        for one in ("role", "master_port"):
            unbroken = before is not None and before.fields.get(one) == fields.get(one)
            since[one] = before.since[one] if before is not None and unbroken else now
        self._infos[who.port, port] = Heard(now, fields, since)

    def _check_choice(self, who: SentinelProcess, name: str, port: int) -> None:
        if (name, who.port) not in self._leading:
            self._wrong(who, f"chooses {port} and leads no failover of {name}")
        self._selected.add((who.port, port))
        now, chosen = self._world.now, self._infos.get((who.port, port))
        oldest = now - FRESH_PINGS * PERIODS.ping_period - SLACK_MS
        if chosen is None or self._answered[who.port, port] < oldest:
            self._wrong(who, f"chooses {port}, which does not answer")
            return
        if chosen.fields.get("slave_priority") == "0":
            self._wrong(who, f"chooses {port}, which has priority 0")
        if who.clock_ms < self._silent_until.get(who.port, 0) + SLACK_MS:
            return  # who was down before TILT counts as down when the first failover goes on after it
        for other in who.primaries[name].replicas.values():
            heard = self._infos.get((who.port, other.address.port))
            if heard is None or heard.fields["role"] != "slave" or chosen.fields["role"] != "slave":
                continue
            if other.s_down or other.link.broken or heard.at < now - SURELY_FRESH_MS:
                continue
            behind_s = int(heard.fields.get("master_link_down_since_seconds", "0"))
            if behind_s * 1000 > 10 * self._terms.down_after_ms or heard.fields["slave_priority"] == "0":
                continue
            if _rank(heard.fields) < _rank(chosen.fields):
                self._wrong(who, f"chooses {port}, and {other.address.port} is better")

    def _check_syncs(self, who: SentinelProcess, name: str, event: str, text: str) -> None:
        syncing = self._syncing.setdefault((name, who.port), set())
        replica = text.split()[1]
        if event != "+slave-reconf-sent":
            syncing.discard(replica)
            return
        syncing.add(replica)
        limit = self._terms.parallel_syncs
        if len(syncing) > limit:
            self._wrong(who, f"lets {len(syncing)} replicas sync at a time; parallel-syncs {limit}")

    def _check_patience(self, who: SentinelProcess, name: str, event: str, port: int) -> None:
        """A server that does not say what it should may be about to be found right, by a hello on its way."""
        heard = self._infos.get((who.port, port))
        by_role = event == "+convert-to-slave"
        patience_ms = PATIENCE_HELLOS * PERIODS.publish_period if by_role else self._terms.failover_timeout_ms
        waited_ms = 0 if heard is None else self._world.now - heard.since["role" if by_role else "master_port"]
        if waited_ms + who.clock_ahead_ms < patience_ms:
            self._wrong(who, f"tells {port} to follow another after {waited_ms} ms; the patience is {patience_ms}")

    def on_hello(self, who: SentinelProcess, text: str) -> None:
        _, _, _, epoch, name, _, port, config_epoch = text.split(",")
        for about, said in (("", int(epoch)), (name, int(config_epoch))):
            before = self._said.get((who.port, about), 0)
            self._said[who.port, about] = said
            if said < before and not who.refused:
                self._wrong(who, f"speaks of the epoch {said} of {about or 'all'} after {before}")
        if not who.refused and on_disk(who, "config-epoch", name) < int(config_epoch):
            self._wrong(who, f"speaks of the config epoch {config_epoch} of {name} before that is on disk")
        if on_disk(who, "leader-epoch", name) < self._voted.get((who.port, name), 0):
            self._wrong(who, f"no longer has on disk that it voted in epoch {self._voted[who.port, name]}")
        known = self._addresses.setdefault((name, int(config_epoch)), int(port))
        if config_epoch != "0" and known != int(port) and name not in self.by_hand:
            self._wrong(who, f"says that {name} is at {port} in config epoch {config_epoch}; it was at {known}")


def on_disk(who: SentinelProcess, option: str, name: str) -> int:
    """An epoch that the file of a sentinel holds."""
    found = re.search(rf"^sentinel {option} {name} (\d+)$", who.text, re.MULTILINE)
    return int(found[1]) if found else 0


def named(text: str) -> str:
    """Which primary an event is about."""
    words = text.split()
    if "@" in words:
        return words[words.index("@") + 1]
    return words[1] if words[0] == "master" else words[0]


def port_in(text: str) -> int:
    """`slave 127.0.0.1:6380 127.0.0.1 6380 @ mymaster …`"""
    return int(text.split()[3])


def _rank(fields: dict[str, str]) -> tuple[int, int]:
    return int(fields["slave_priority"]), -int(fields["slave_repl_offset"])


# -- after the faults ------------------------------------------------------------------------------------------


def agreement_limit_ms(terms: Terms) -> int:
    """Within that long after the last fault all is well, without anybody's help."""
    clear_head_ms = PERIODS.tilt_period + PERIODS.min_link_reconnect_period  # TILT, and connections that only seem up
    noticed_ms = terms.down_after_ms + 2 * PERIODS.info_period  # down, be it only by its role; who follows whom
    lost_tries_ms = 2 * (NEXT_TRY_TIMEOUTS * terms.failover_timeout_ms + MAX_DESYNC_MS)  # one under way, one not won
    failover_ms = 2 * terms.failover_timeout_ms  # to the promotion, and until the others follow
    astray_ms = terms.failover_timeout_ms + PATIENCE_HELLOS * PERIODS.publish_period
    return clear_head_ms + noticed_ms + lost_tries_ms + failover_ms + astray_ms


def disagreements(world: World) -> list[str]:
    """What keeps this from being healthy; [] when it is. The dead do not count."""
    sentinels = [one for one in world.sentinels.values() if one.alive]
    found = [f"{one.port} is in TILT" for one in sentinels if one.core.state.tilt]
    epochs = {one.core.state.current_epoch for one in sentinels}
    if len(epochs) > 1:
        found.append(f"the sentinels are in the epochs {sorted(epochs)}")
    for name in sorted({server.name for server in world.servers.values()}):
        found += _of_primary(world, name, {one.port: one.primaries[name] for one in sentinels})
    return found


def _of_primary(world: World, name: str, views: dict[int, Primary]) -> list[str]:
    seen = {view.current_address.port for view in views.values()}
    if len(seen) > 1:
        return [f"{name} is at one of {sorted(seen)}"]
    found = [f"{port} is in a failover of {name}" for port, view in views.items() if view.failing_over]
    if len({view.config_epoch for view in views.values()}) > 1:
        found.append(f"{name} has several config epochs")
    primary = world.servers[seen.pop()]
    if not primary.alive or primary.follows is not None:
        found.append(f"{name} is at {primary.port}, which is no primary")
    for server in world.servers.values():
        if server.name != name or not server.alive or server is primary:
            continue
        if server.follows != primary.port or not server.link_up:
            found.append(f"{server.port} does not follow {primary.port}")
        for port, view in views.items():
            if server.port not in {one.address.port for one in view.replicas.values() if not one.s_down}:
                found.append(f"{port} does not know {server.port}")
    for port, view in views.items():
        if view.s_down or view.o_down:
            found.append(f"{port} holds {name} for down")
        known = {one.address.port for one in view.peers.values() if not one.s_down}
        found += [f"{port} does not know {other}" for other in views if other not in known | {port}]
    return found

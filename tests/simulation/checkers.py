"""What must hold in every run: `Safety` looks on all the time, `disagreements` is asked once the faults are over.

They stand outside the system: they see what the nodes say, save and show, and nothing of how they come to it.
"""

from __future__ import annotations

from bus import events
from bus.election import RANK_DELAY_MS, REPLICATION_PING_MS
from bus.messages import Announcement, Heartbeat, Vote, VoteRequest
from bus.slots import bits_of
from bus.view import ClusterView
from tests.simulation.simulator import SimNode, Simulation

CALM_MS = 2_500
"""Where no fault was for so long, every node has heard every other one since, and nobody is wrongly suspected."""


ELECTION_MS = 4_000
"""The votes for who was fit when it asked may come as much later."""


class Safety:
    """`by_vote_only`: no operator gives out epochs in this run, so that no two nodes may ever own a slot in one epoch.

    (TAKEOVER and the end of a slot's migration take an epoch without asking; the cluster settles collisions later.)
    """

    def __init__(self, *, by_vote_only: bool) -> None:
        self.violations: list[str] = []
        self._by_vote_only = by_vote_only
        self._votes: dict[tuple[str, int], str] = {}
        self._voters: dict[tuple[str, int], set[str]] = {}
        self._winners: dict[tuple[int, frozenset[str]], str] = {}
        self._owners: dict[int, dict[str, int]] = {}
        self._saved: dict[str, tuple[int, int]] = {}
        self._cast: set[tuple[str, int]] = set()
        self._said: dict[str, int] = {}

    def on_effect(self, node: SimNode, event: events.Event | None, effect: events.Effect) -> None:
        if event is None:
            # What it has only heard of may be lost with it: the vote's own epoch is what outlives a loss of power.
            self._said.pop(node.node_id, None)
        match effect:
            case events.Persist():
                self._check_saved(effect)
            case events.Send():
                self._check_message(node, effect)
            case events.BecomePrimary() if not isinstance(event, events.Failover | events.Reset):
                self._check_winner(node)
            case events.ViewChanged() if self._by_vote_only:
                self._check_owner(effect.view)
            case _:
                pass

    def _check_message(self, node: SimNode, effect: events.Send) -> None:
        match effect.message:
            case Vote(epoch):
                self._check_vote(node, epoch, effect.link_id)
            case VoteRequest(epoch):
                self._check_candidate(node, epoch)
                if not effect.message.forced:
                    self._check_rank(node)
            case Heartbeat() | Announcement():
                self._said[node.node_id] = effect.message.epoch
                self._check_said(node, effect.message.config_epoch)
            case _:
                pass

    def _check_saved(self, effect: events.Persist) -> None:
        """What was durable of the epochs never goes back."""
        state = effect.state
        before = self._saved.get(state.my_id, (0, 0))
        epochs = state.current_epoch, state.last_vote_epoch
        if epochs[0] < before[0] or epochs[1] < before[1]:
            self.violations.append(f"{state.my_id} saved the epochs {epochs} after {before}")
        if effect.durable:
            self._saved[state.my_id] = epochs

    def _check_vote(self, node: SimNode, epoch: int, link_id: int) -> None:
        again = (node.node_id, epoch) in self._cast  # it is asked again, as the vote was lost
        if not again and epoch < self._said.get(node.node_id, 0):
            self.violations.append(f"{node.node_id} votes in epoch {epoch}, and spoke of a later one before")
        self._cast.add((node.node_id, epoch))
        candidate = node.sim.network.other_side(node, link_id)
        if candidate is None:
            return  # the link is gone, and so is the vote
        self._voters.setdefault((candidate.ip, epoch), set()).add(node.node_id)
        if self._votes.setdefault((node.node_id, epoch), candidate.ip) != candidate.ip:
            self.violations.append(f"{node.node_id} voted for two in epoch {epoch}")
        if node.durable_disk is None or node.durable_disk.last_vote_epoch < epoch:
            self.violations.append(f"{node.node_id} voted in epoch {epoch} before that was on disk")

    def _check_candidate(self, node: SimNode, epoch: int) -> None:
        if node.durable_disk is None or node.durable_disk.current_epoch < epoch:
            self.violations.append(f"{node.node_id} asks for votes in epoch {epoch} before that is on disk")

    def _check_rank(self, node: SimNode) -> None:
        """Who has less data than another replica that nothing keeps from it does not stand at once when their primary
        dies: what each of them has was settled by that death."""
        sim, primary = node.sim, next((one for one in node.sim.nodes if one.disk is not None and one.core is None
                                       and one.disk.my_id == node.following), None)
        if primary is None or sim.now - primary.changed_at >= RANK_DELAY_MS:
            return
        calm = sim.now - CALM_MS
        if max(sim.network.changed_at, node.changed_at) > calm or sim.network.cuts or not sim.network.is_quick:
            return
        for other in sim.nodes:
            if other is node or other.following != node.following or other.core is None or other.stopped:
                continue
            if other.synced_at is None:  # what it has may be of another history, and it does not stand
                continue
            if other.changed_at <= calm and other.offset > node.offset:
                self.violations.append(
                    f"{node.node_id} stands at once with {node.offset}, and {other.node_id} has {other.offset}"
                )

    def _check_said(self, node: SimNode, config_epoch: int) -> None:
        saved = node.durable_disk
        # What is on disk may be newer: the message was written before the collision that came up in the same step.
        if config_epoch and (saved is None or saved.nodes[node.node_id].config_epoch < config_epoch):
            self.violations.append(f"{node.node_id} speaks of config epoch {config_epoch} before that is on disk")

    def _check_winner(self, node: SimNode) -> None:
        if node.synced_at is None and node.sim.now > node.forced_until:
            self.violations.append(f"{node.node_id} took over, and was never in step with its primary")
        if node.synced_at is not None and node.sim.now > node.forced_until:
            self._check_age(node, node.sim.now - node.synced_at)
        epoch, electorate = node.info.config_epoch, _electorate(node)
        voters = self._voters.get((node.ip, epoch), set()) & electorate
        if 2 * len(voters) <= len(electorate):
            self.violations.append(
                f"{node.node_id} won epoch {epoch} with {len(voters)} votes of {len(electorate)} primaries"
            )
        winner = self._winners.setdefault((epoch, electorate), node.node_id)
        if winner != node.node_id:
            self.violations.append(f"{winner} and {node.node_id} both won epoch {epoch}, by the same primaries")

    def _check_age(self, node: SimNode, age_ms: int) -> None:
        config = node.config
        limit = REPLICATION_PING_MS + config.node_timeout_ms * (1 + config.replica_validity_factor)
        if config.replica_validity_factor and age_ms > limit + ELECTION_MS:
            self.violations.append(f"{node.node_id} took over with data {age_ms} ms old; the limit is {limit} ms")

    def _check_owner(self, view: ClusterView) -> None:
        me = view.nodes[view.my_id]
        mine = bits_of(me.slots)
        if not mine:
            return
        in_epoch = self._owners.setdefault(me.config_epoch, {})
        in_epoch[view.my_id] = in_epoch.get(view.my_id, 0) | mine
        for other, slots in in_epoch.items():
            if other != view.my_id and slots & mine:
                self.violations.append(f"{other} and {view.my_id} own the same slots in epoch {me.config_epoch}")


def _electorate(node: SimNode) -> frozenset[str]:
    """The primaries whose majority `node`, which is about to take its primary's place, had to win.

    Nodes may differ in that for a while: a failover gives a seat to the successor, and the old primary and those who
    have not heard of it still count the old one. Majorities of the two need not have a voter in common, and then two
    may win the same epoch (docs/architecture.md); the collision is settled when they meet.
    """
    primaries = {one.node_id for one in node.running.view.nodes.values() if one.role == "primary" and one.slots}
    primaries.discard(node.node_id)
    if node.following is not None:
        primaries.add(node.following)
    return frozenset(primaries)


def disagreements(sim: Simulation) -> list[str]:
    """What keeps this from being one healthy cluster; [] when it is one."""
    if any(node.core is None or node.stopped for node in sim.nodes):
        return ["a node is not running"]
    views = [node.running.view for node in sim.nodes]
    down = [f"{view.my_id[:6]} is down: {view.down_reason}" for view in views if not view.state_ok]
    if down:
        return down  # the rest costs more to find out
    found = [text for view in views for text in _unhealthy(view, len(views))]
    for view in views[1:]:
        found += _differences(views[0], view)
    primaries = [one for one in views[0].nodes.values() if one.role == "primary"]
    if len({one.config_epoch for one in primaries}) != len(primaries):
        found.append("two primaries share a config epoch")
    return found


def _unhealthy(view: ClusterView, size: int) -> list[str]:
    found = []
    name = view.my_id[:6]
    if None in view.owners:
        found.append(f"{name} sees slots that nobody owns, the first {view.owners.index(None)}")
    if len(view.nodes) != size:
        found.append(f"{name} knows {len(view.nodes)} nodes")
    for one in view.nodes.values():
        wrong = one.flags & {"pfail", "fail", "handshake", "noaddr"}
        if wrong:
            found.append(f"{name} sees {one.node_id[:6]} as {sorted(wrong)}")
        if one.node_id != view.my_id and not one.link_connected:
            found.append(f"{name} has no link to {one.node_id[:6]}")
        primary = view.nodes.get(one.primary_id or "")
        if one.role == "replica" and (primary is None or primary.role != "primary"):
            found.append(f"{name} sees {one.node_id[:6]} as a replica of no primary")
    return found


def _differences(one: ClusterView, other: ClusterView) -> list[str]:
    names = f"{one.my_id[:6]} and {other.my_id[:6]} disagree on"
    found = []
    if one.owners != other.owners:
        slot = next(slot for slot, owner in enumerate(one.owners) if owner != other.owners[slot])
        found.append(f"{names} owners, the first of slot {slot}: {one.owners[slot]} and {other.owners[slot]}")
    if one.current_epoch != other.current_epoch:
        found.append(f"{names} the current epoch: {one.current_epoch} and {other.current_epoch}")
    for node_id, mine in one.nodes.items():
        theirs = other.nodes.get(node_id)
        if theirs is None:
            continue
        if (mine.role, mine.primary_id, mine.shard_id) != (theirs.role, theirs.primary_id, theirs.shard_id):
            found.append(f"{names} the role of {node_id[:6]}: {mine.primary_id} and {theirs.primary_id}")
        if mine.role == "primary" and mine.config_epoch != theirs.config_epoch:
            found.append(f"{names} the epoch of {node_id[:6]}: {mine.config_epoch} and {theirs.config_epoch}")
    return found

"""The core of the bus: a state machine without socket, clock or dice of its own.

`step(now, event)` returns the effects in the order in which they are to be carried out: what has to be on disk
first, then what is said to others, and the new view before anything that lets clients go on.
"""

from __future__ import annotations

import random

from bus import doubt, election, failure, gossip, health, interest, migration, operators, ownership, returning
from bus.due import Save
from bus.events import (
    BusConfig,
    ConfigChanged,
    Effect,
    Event,
    FollowNode,
    FrameReceived,
    LinkDown,
    LinkUp,
    Listen,
    Loaded,
    Paused,
    Persist,
    Publish,
    ReleaseClients,
    ReplicationOffset,
    Reply,
    ResumeWrites,
    Settled,
    Shutdown,
    Tick,
    ViewChanged,
)
from bus.messages import (
    Announcement,
    Data,
    DataQuestion,
    Fail,
    Heartbeat,
    Interest,
    ManualFailoverStart,
    Members,
    Message,
    Messages,
    TakeOver,
    Update,
    Vote,
    VoteRequest,
)
from bus.operators import Refused
from bus.slots import bits_of
from bus.state import Peer, State, kind_name, random_id
from bus.view import ClusterView, NodeInfo, PersistentState

TICK_MS = 100

__all__ = ["TICK_MS", "BusConfig", "BusCore", "PersistentState"]


class BusCore:
    """`state` is what nodes.conf held (None: a new node with a new id). `now_ms` is a monotonic clock's. `loading`: the
    data are not there before `Loaded`."""

    def __init__(
        self, config: BusConfig, rng: random.Random, state: PersistentState | None, now_ms: int, wall_ms: int,
        *, loading: bool = False,
    ) -> None:
        me = _fresh(rng) if state is None else _peer(state, state.my_id)
        self._s = State(config, rng, me, now_ms)
        self._s.wall = wall_ms
        self._s.holdings.loading = loading
        if state is not None:
            _restore(self._s, state)
        self._s.saving.ask(Save.SYNCED)
        self._configure(config)

    def start(self) -> list[Effect]:
        """What the state at the start asks for: follow the primary, show the view."""
        s = self._s
        s.out = []
        s.changed = True
        primary = s.primary_of(s.me)
        if primary is not None:
            s.out.append(FollowNode(primary.node_id, primary.ip, primary.port, tls_port=primary.tls_port))
        return self._finish(None)

    @property
    def my_id(self) -> str:
        return self._s.me.node_id

    @property
    def view(self) -> ClusterView:
        """The view as of now, times and offsets included."""
        return self._s.view()

    @property
    def my_info(self) -> NodeInfo:
        """What the view says of this node; costs less than the view."""
        return self._s.info(self._s.me, self._s.ranges(self._s.me))

    @property
    def settled(self) -> bool:
        """The view's."""
        return not self._s.returning

    @property
    def waits_for_offset(self) -> bool:
        """A manual failover waits for this replica to have its primary's last writes: tell it offsets often."""
        manual = self._s.manual
        return manual is not None and not manual.replica_id and not manual.can_start

    def knows(self, node_id: str) -> bool:
        """Whether that node is a member of the cluster."""
        return node_id in self._s.peers

    def failure_reports(self, node_id: str) -> int:
        return failure.reports(self._s, self._s.peers[node_id])

    def next_deadline(self) -> int | None:
        """When to send the next Tick at the latest, in ms of the core's clock."""
        s = self._s
        due = s.ticked_at + TICK_MS
        election = s.election
        if election is not None and not election.over:
            if not election.asked:
                due = min(due, max(election.start_at, s.ticked_at + 1))
            elif election.again_at > s.ticked_at:
                due = min(due, election.again_at)
        return due

    def step(self, now_ms: int, event: Event) -> list[Effect]:
        s = self._s
        s.now = now_ms
        s.out = []
        reply: Reply | None = None
        gap, s.stepped_at = s.now - s.stepped_at, s.now
        if gap > doubt.STALL_MS:
            doubt.stood_still(s, gap)
        match event:
            case Tick():
                self._tick(event)
            case FrameReceived():
                self._received(event.link_id, event.message)
            case Publish():
                interest.publish(s, event)
            case Settled():
                interest.settled(s, event)
            case Listen():
                interest.listen(s, event)
            case LinkUp():
                gossip.link_up(
                    s, event.link_id, event.node_id, event.address, event.outbound, event.target, event.local_address
                )
            case LinkDown():
                self._link_down(event)
            case ReplicationOffset():
                s.me.offset = event.offset
                s.primary_link_up = event.primary_link_up
                s.data_age_ms = event.data_age_ms
                if event.data is not None and not (s.holdings.loading or s.me.is_primary):
                    returning.holds(s, event.data)
                election.on_offset(s)
            case Loaded():
                returning.loaded(s, event.data)
            case Paused():
                election.on_paused(s, event)
            case ConfigChanged():
                self._configure(event.config)
            case Shutdown():
                s.saving.ask(Save.SYNCED)
            case _:
                try:
                    reply = Reply(text=operators.apply(s, event))
                except Refused as refusal:
                    reply = Reply(error=str(refusal))
        if s.changed or s.recheck:
            health.update(s)
        return self._finish(reply)

    # -- events ----------------------------------------------------------------------------------------------

    def _tick(self, event: Tick) -> None:
        s = self._s
        s.wall = event.wall_ms
        s.ticked_at = s.now
        s.changed |= s.links_changed
        failure.tick(s)
        doubt.tick(s)
        gossip.tick(s)
        election.tick(s)
        migration.tick(s)
        ownership.tick(s)
        interest.tick(s)
        returning.tick(s)
        health.update(s)

    def _link_down(self, event: LinkDown) -> None:
        s = self._s
        if event.link_id is not None:
            link = s.links.pop(event.link_id, None)
            if link is None:
                return
            peer = s.peers.get(link.node_id)
            if not link.outbound:
                interest.unsure(peer)
                return
            if peer is not None and peer.link == event.link_id:
                gossip.link_lost(s, peer, link)
            return
        handshake = s.handshakes.get(event.target)
        if handshake is not None:
            gossip.not_met(s, handshake)
        peer = s.peers.get(event.target)
        if peer is not None:
            peer.connecting = False
            failure.link_down(s, peer, event.reason)
            election.tick(s)

    def _received(self, link_id: int, message: Message) -> None:
        s = self._s
        link = s.links.get(link_id)
        if link is None:
            return
        name = kind_name(message)
        s.stats_received[name] = s.stats_received.get(name, 0) + 1
        if isinstance(message, Announcement):
            known = link.node_id in s.peers
            gossip.on_announcement(s, link_id, link.node_id, message)
            if known and link.node_id in s.peers:
                self._heard(s.peers[link.node_id], message)
            return
        sender = s.peers.get(link.node_id)
        if sender is None or sender is s.me:
            return
        self._heard(sender, message)
        match message:
            case Heartbeat():
                gossip.on_heartbeat(s, sender, link_id, message)
                failure.on_heartbeat(s, sender, message)
                doubt.on_heartbeat(s, sender, message)
                if s.me.primary_id == sender.node_id:
                    election.on_primary_heartbeat(s, message)
                election.tick(s)
            case Messages():
                interest.on_messages(s, message)
            case Interest():
                interest.on_interest(s, sender, message)
            case Members():
                gossip.on_members(s, message)
            case Fail():
                failure.on_fail(s, sender, message)
                election.tick(s)
            case Update():
                ownership.on_update(s, message)
            case VoteRequest():
                election.on_vote_request(s, sender, link_id, message)
            case Vote():
                election.on_vote(s, sender, message)
            case ManualFailoverStart():
                election.on_manual_start(s, sender)
            case DataQuestion():
                returning.on_question(s, link_id)
            case Data():
                returning.on_data(s, sender, message)
            case TakeOver():
                returning.on_take_over(s, sender)

    def _heard(self, sender: Peer, message: Message) -> None:
        s = self._s
        epoch = getattr(message, "epoch", 0)
        if epoch > s.current_epoch:
            s.current_epoch = epoch
            s.touch()
        failure.heard(s, sender)

    def _configure(self, config: BusConfig) -> None:
        s = self._s
        s.config = config
        me = s.me
        described = (
            config.announce_ip or me.ip,
            config.announce_port or config.port,
            config.announce_bus_port or config.bus_port,
            config.announce_tls_port or config.tls_port,
            config.announce_hostname,
            config.announce_human_name,
            config.replica_no_failover,
        )
        if described == (me.ip, me.port, me.bus_port, me.tls_port, me.hostname, me.human_name, me.nofailover):
            return
        me.ip, me.port, me.bus_port, me.tls_port, me.hostname, me.human_name, me.nofailover = described
        s.touch(announce=True)

    # -- effects ---------------------------------------------------------------------------------------------

    def _finish(self, reply: Reply | None) -> list[Effect]:
        """What goes to disk first; the view before those who waited go on; the reply last."""
        s = self._s
        if s.announcing.take(s.now):
            s.digest = b""
            s.my_digest()
            s.broadcast(s.announcement())
        out: list[Effect] = []
        if reply is not None and s.saving.wanted:
            s.saving.ask(Save.BEFORE_THE_ANSWER)
        how = s.saving.take(s.now)
        infos = s.infos() if how is not None or s.changed else {}
        if how is not None:
            out.append(Persist(s.persistent(infos), durable=how is Save.SYNCED))
        late = [effect for effect in s.out if isinstance(effect, ResumeWrites | ReleaseClients)]
        out += [effect for effect in s.out if effect not in late] if late else s.out
        if s.changed:
            s.changed = s.links_changed = False
            s.version += 1
            out.append(ViewChanged(s.view(infos)))
        out += late
        if reply is not None:
            out.append(reply)
        s.out = []
        return out


def _fresh(rng: random.Random) -> Peer:
    return Peer(random_id(rng), "", 0, 0, shard_id=random_id(rng))


def _peer(state: PersistentState, node_id: str) -> Peer:
    info = state.nodes[node_id]
    return Peer(
        info.node_id, info.ip, info.port, info.bus_port, shard_id=info.shard_id or info.node_id,
        tls_port=info.tls_port, hostname=info.hostname, human_name=info.human_name, primary_id=info.primary_id,
        nofailover="nofailover" in info.flags, config_epoch=info.config_epoch,
        fail="fail" in info.flags, wrong_address="noaddr" in info.flags,
    )


def _restore(s: State, state: PersistentState) -> None:
    """Go on from nodes.conf: everyone in it is known, and counts as just heard of."""
    for node_id, info in state.nodes.items():
        peer = s.me if node_id == state.my_id else s.add(_peer(state, node_id))
        peer.failed_at = s.now
        s.own(bits_of(info.slots), peer)
    for peer in s.others():
        primary = s.primary_of(peer)
        if primary is not None:
            primary.had_replicas = True
    s.migrating = {slot: other for slot, other in state.migrating.items() if other in s.peers}
    s.importing = {slot: other for slot, other in state.importing.items() if other in s.peers}
    s.last_vote_epoch = state.last_vote_epoch
    s.cluster_id = state.cluster_id
    s.current_epoch = max(state.current_epoch, *(peer.config_epoch for peer in s.peers.values()))
    doubt.come_back(s)
